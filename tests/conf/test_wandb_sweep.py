"""The sweep that W&B steers, as its agent would start its jobs."""

from pathlib import Path

import yaml

from corrlight.config.compose import compose_config, config_dir

SWEEP = yaml.safe_load((config_dir() / "wandb_sweep.yaml").read_text())
CHOICES = {
    name: option.get("values", [option.get("value")])
    for name, option in SWEEP["parameters"].items()
}


def command_line(values):
    """Return a job's command, filled in with the agent's own functions."""
    # Here, since every test process collects this file and one of them runs it.
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    given = {name: {"value": value} for name, value in values.items()}
    filled = {
        **create_sweep_command_args({"args": given}),
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [SWEEP["program"]],
    }
    line = []
    for part in create_sweep_command(list(SWEEP["command"])):
        name = part.removeprefix("${").removesuffix("}")
        line += filled[name] if name != part else [part]
    return line


def test_every_choice_of_the_sweep_composes():
    found = []
    for k in range(max(map(len, CHOICES.values()))):
        chosen = {name: values[k % len(values)] for name, values in CHOICES.items()}
        line = command_line(chosen)
        assert line[:3] == ["/usr/bin/env", "python", "run.py"]
        # W&B gives the options in an order of its own.
        config = compose_config(list(reversed(line[3:]))).config
        assert (config.detector.name, config.detector.aux_head) == ("atss_small", "none")
        assert config.logger.wandb._target_ == "corrlight.callbacks.wandb_logger"
        found.append((config.corr.coefficient, config.corr.weight, config.seed))
    coefficients, weights, seeds = (sorted(set(values)) for values in zip(*found, strict=True))
    assert coefficients == sorted(CHOICES["corr"])
    assert weights == CHOICES["corr.weight"]
    assert seeds == CHOICES["seed"]


def test_the_program_of_the_sweep_is_ours():
    assert (Path(__file__).parents[2] / SWEEP["program"]).is_file()
