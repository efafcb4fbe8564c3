import numpy as np
import pytest
from PIL import Image

from corrlight.predict.load import load
from tests.helpers.run_folder import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of a dense detector with random weights, evaluated two pictures at a time."""
    return make_run(tmp_path_factory.mktemp("run") / "r", "atss_small", "data.eval_batch_size=2")


@pytest.fixture(scope="session")
def mask_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("masks") / "r", "yolact_small")


@pytest.fixture(scope="session")
def model(run):
    return load(run, "cpu")


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """A folder with pictures of two sizes, one of them in a folder below, and a text."""
    folder = tmp_path_factory.mktemp("shots") / "shots"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (height, width) in (
        ("b.png", (64, 96)),
        ("a.jpg", (64, 64)),
        ("more/c.bmp", (64, 96)),
    ):
        pixels = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder
