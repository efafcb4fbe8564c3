import pytest

from corrlight.predict.load import load
from tests.helpers.run_folder import make_run

DETECTORS = (
    "atss_small", "retinanet_small", "foveabox_small", "paa_small", "yolact_small", "detr_small",
    "sparse_rcnn_small",
)  # fmt: skip


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Return the run of a detector, made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in made:
            made[name] = make_run(folder / name / "r", name, "data.image_size=64")
        return made[name]

    return run


@pytest.fixture(scope="session")
def model(runs):
    return lambda name: load(runs(name), "cpu")
