"""The same overrides are composed once in a test session: Hydra takes a third of a second."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from corrlight.config.compose import config_dir

__all__ = ["composed_once"]

_MOST = 1000  # Of 30 kB each.


def composed_once(compose: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Return Hydra's ``compose`` with a memory; every caller gets a copy of its own.

    What the repository's own files compose follows from the overrides alone. With other folders,
    and where the overrides are refused, Hydra is asked anew.
    """
    known: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def composed(
        config_name: str, overrides: Sequence[str] = (), return_hydra_config: bool = False
    ) -> DictConfig:
        def anew() -> DictConfig:
            return compose(config_name, list(overrides), return_hydra_config)

        loader = GlobalHydra.instance().config_loader()
        path = loader.get_search_path().get_path()
        folders = {str(e.path).removeprefix("file://") for e in path if e.provider == "main"}
        if folders != {str(config_dir())} or any("searchpath" in o for o in overrides):
            return anew()
        key = (config_name, return_hydra_config, os.getcwd(), *overrides)
        if key not in known:
            known[key] = pickle.dumps(anew())
        known.move_to_end(key)
        if len(known) > _MOST:
            known.popitem(last=False)
        config: DictConfig = pickle.loads(known[key])
        return config

    return composed
