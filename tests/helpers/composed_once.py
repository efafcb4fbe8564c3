"""The same overrides are composed once in a test session: Hydra takes a third of a second."""

from __future__ import annotations

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
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
        key = (config_name, return_hydra_config, os.getcwd(), *choices)
        try:
            if key not in known:
                known[key] = pickle.dumps(anew(choices))
            config: DictConfig = pickle.loads(known[key])
            if values:
                _set_values(config, values, overrides)
        except (HydraException, OmegaConfBaseException):
            return anew()
        known.move_to_end(key)
        if len(known) > _MOST:
            known.popitem(last=False)
        return config

    return composed


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
