"""The console script ``corrlight``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_USAGE = """usage: corrlight COMMAND ...

commands:
  train    train or test a detector; takes the options of run.py (corrlight train --help)
  predict  find objects in pictures with a trained run (corrlight predict --help)
  export   a trained run as an ONNX or torch.export file (corrlight export --help)
  analyze  AP, oLRP, beta_cls, AP bounds of COCO results files (corrlight analyze --help)
  runs     list, show, compare, repeat and delete runs (corrlight runs --help)
  data     own pictures: import, check, show, split (corrlight data --help)
  convert  checkpoints of mmdetection and torchvision to ours, and back (corrlight convert --help)
  doctor   versions, devices, folders, and what of them does not work
  completion bash|zsh|fish   a script that completes all of this (corrlight completion --help)
  --version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if arguments[0] in ("-V", "--version"):
        from corrlight import __version__

        print(f"corrlight {__version__}")
        return 0
    command, *rest = arguments
    if any(argument.lstrip("+").startswith("allow_targets=") for argument in rest):
        # A script's own folder is on the path, not the one that it was called from, where modules
        # of the user are. At the end: they stand in for nothing that is installed.
        sys.path.append("")
    if command == "train":
        from corrlight.app import main as train

        return train(rest)
    if command == "analyze":
        from corrlight.analysis.command import main as analyze

        return analyze(rest)
    if command == "runs":
        from corrlight.runs.command import main as runs

        return runs(rest)
    if command == "data":
        from corrlight.datasets.command import main as data

        return data(rest)
    if command == "convert":
        from corrlight.convert.command import main as convert

        return convert(rest)
    if command == "predict":
        from corrlight.predict.command import main as predict

        return predict(rest)
    if command == "export":
        from corrlight.export.command import main as export

        return export(rest)
    if command == "doctor":
        from corrlight.doctor.command import main as doctor

        return doctor(rest)
    if command == "completion":
        from corrlight.commands.completion import main as completion

        return completion(rest)
    print(f"error: Unknown command '{command}' (corrlight --help lists all).", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
