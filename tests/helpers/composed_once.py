"""The same overrides are composed once: Hydra takes a third of a second.

What was composed is kept in ``.cache/compositions`` for the other processes of a session and for
the next one, beside a digest of all that Hydra reads.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from corrlight.config.compose import config_dir

__all__ = ["composed_once", "read_files_once"]

_MOST = 1000  # Of 30 kB each.
_HYDRAS = re.compile(r"[+~]*hydra\b")
_VALUE = re.compile(r"(?!hydra\b)(\w+)(\.\w+)*=")


def composed_once(compose: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Return Hydra's ``compose`` with a memory; every caller gets a copy of its own.

    What the repository's own files compose follows from the overrides alone. Files are chosen by
    some of them; the others are values, which Hydra sets afterwards, and so does this. With other
    folders, and where the overrides are refused, Hydra is asked anew.
    """
    known: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
    folder = _folder()

    def composed(
        config_name: str, overrides: Sequence[str] = (), return_hydra_config: bool = False
    ) -> DictConfig:
        def anew(overrides: Sequence[str] = overrides) -> DictConfig:
            return compose(config_name, list(overrides), return_hydra_config)

        loader = GlobalHydra.instance().config_loader()
        path = loader.get_search_path().get_path()
        folders = {str(e.path).removeprefix("file://") for e in path if e.provider == "main"}
        if folders != {str(config_dir())} or any("searchpath" in o for o in overrides):
            return anew()
        values = [o for o in overrides if _is_value(o)]
        # A section that is given as a whole, before or after one of its values.
        if not return_hydra_config or any("={" in o for o in overrides if o not in values):
            values = []
        choices = [o for o in overrides if o not in values]
        key = (config_name, return_hydra_config, *choices)
        try:
            if key not in known:
                known[key] = _kept(folder, key, lambda: anew(choices))
            config: DictConfig = pickle.loads(known[key])
            if return_hydra_config:
                config.hydra.runtime._set_flag("readonly", False)
                config.hydra.runtime.cwd = os.getcwd()
            if values:
                _set_values(config, values, overrides)
        except (HydraException, OmegaConfBaseException):
            _refused(folder, (config_name, return_hydra_config, "refused", *overrides), anew)
            return anew()
        known.move_to_end(key)
        if len(known) > _MOST:
            known.popitem(last=False)
        return config

    return composed


def _folder() -> Path:
    """Return where compositions are kept that follow from the files and versions of now."""
    plugins = config_dir().parent / "corrlight/sweeps/plugins"
    versions = [sys.version, *map(version, ("hydra-core", "omegaconf", "PyYAML"))]
    digest = hashlib.sha256("\n".join([str(config_dir()), *versions]).encode())
    read = [*config_dir().rglob("*.yaml"), *plugins.rglob("*.py"), Path(__file__)]
    for path in sorted(read):
        digest.update(str(path).encode() + path.read_bytes())
    folder = config_dir().parent / ".cache/compositions" / digest.hexdigest()[:16]
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        by_age = sorted(folder.parent.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in by_age[:-3]:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _kept(folder: Path, key: tuple[object, ...], compose: Callable[[], object]) -> bytes:
    """Return the pickled result from its file, which is written whole where it is missing."""
    file = folder / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    if file.is_file():
        return file.read_bytes()
    content = pickle.dumps(compose())
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.replace(draft, file)
    return content


def _refused(folder: Path, key: tuple[object, ...], compose: Callable[[], DictConfig]) -> None:
    """Raise what Hydra raised when it was asked for the same, with its text alone."""

    def error() -> tuple[type[Exception], str] | None:
        with suppress(HydraException, OmegaConfBaseException):
            try:
                compose()
            except ConfigCompositionException as error:
                return type(error), str(error)
        return None  # Anything else is quick, and not made of a text alone.

    found = pickle.loads(_kept(folder, key, error))
    if found is not None:
        raise found[0](found[1])


def _is_value(override: str) -> bool:
    """Return whether it sets an option: no choice of a file, nothing added or removed."""
    found = _VALUE.match(override)
    return found is not None and (bool(found[2]) or not (config_dir() / found[1]).is_dir())


def _set_values(config: DictConfig, values: Sequence[str], overrides: Sequence[str]) -> None:
    """Set values of options as Hydra does after it has merged the files."""
    for text in values:
        override = _parsed(text)
        if override.is_sweep_override():
            raise HydraException(text)
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    task = [o for o in overrides if not _HYDRAS.match(o)]
    config.hydra.overrides.task = task
    config.hydra.job.override_dirname = ",".join(sorted(task))


@cache
def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def read_files_once() -> None:
    """Have Hydra read and parse each file of a composition once; it is a third of composing.

    A file that was written again is read again.
    """
    for source in Plugins.instance().discover(ConfigSource):
        if source.__name__ in ("FileConfigSource", "ImportlibResourcesConfigSource"):
            source.load_config = _read_once(source.load_config)


def _read_once(load: Callable[..., ConfigResult]) -> Callable[..., ConfigResult]:
    known: dict[tuple[object, ...], bytes] = {}

    def read(source: ConfigSource, config_path: str) -> ConfigResult:
        if source.scheme() == "file":
            file = Path(source.path, source._normalize_file_name(config_path))
            if not file.is_file():
                return load(source, config_path)
            status = file.stat()
            written: tuple[object, ...] = (status.st_mtime_ns, status.st_size, status.st_ino)
        else:
            written = ()  # Of a package, Hydra's own.
        key = (source.path, source.provider, config_path, *written)
        if key not in known:
            known[key] = pickle.dumps(load(source, config_path))
        result: ConfigResult = pickle.loads(known[key])
        return result

    return read
