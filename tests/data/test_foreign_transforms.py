import numpy as np
import pytest
import torch
from torchvision import transforms as v1
from torchvision.transforms import v2

from corrlight.config.allowlist import instantiate
from corrlight.data import Albumentations, CocoDataModule, RandomHorizontalFlip
from corrlight.data.foreign_transforms import TorchvisionTransform, as_steps
from tests.data.painted import assert_repeatable, extent, painted, rng

SAMPLE = painted((40, 60), [(4, 6, 20, 12), (30, 20, 50, 38)], [(0, 0, 10, 10)])


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomHorizontalFlip(1.0),
        v2.Resize((80, 30)),
        v2.RandomCrop((30, 30)),
        v2.RandomAffine(0, translate=(0.3, 0.3)),
        v2.Compose([v2.RandomVerticalFlip(), v2.RandomZoomOut(p=1.0)]),
    ],
)
def test_boxes_and_masks_follow_the_picture(transform):
    step = TorchvisionTransform(transform)
    for seed in range(8):
        out = step(SAMPLE, rng(seed))
        assert len(out.boxes) == len(out.labels) == len(out.masks)
        for box, mask, label in zip(out.boxes, out.masks, out.labels, strict=True):
            assert np.allclose(extent(mask.bool()), box.tolist(), atol=2)
            assert (out.image[0][mask.bool()] == label + 1).float().mean() > 0.7
    assert_repeatable(SAMPLE, [step])


def test_colours_change_and_pixels_stay_whole_numbers():
    out = TorchvisionTransform(v2.ColorJitter(brightness=(2.0, 2.0)))(SAMPLE, rng())
    assert out.image.dtype == torch.uint8
    assert torch.equal(out.image, SAMPLE.image * 2)
    scaled = TorchvisionTransform(v2.ToDtype(torch.float32, scale=True))(SAMPLE, rng())
    assert torch.equal(scaled.image, SAMPLE.image)


def test_chance_is_the_samples_own():
    step = TorchvisionTransform(v2.RandomCrop((20, 20)))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = step(SAMPLE, rng(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(step(SAMPLE, rng(3)).image, first.image)
    assert any(not torch.equal(step(SAMPLE, rng(k)).image, first.image) for k in range(4, 9))


def test_objects_that_leave_the_picture_are_removed():
    out = TorchvisionTransform(v2.RandomCrop((8, 8)))(SAMPLE, rng(1))
    assert len(out.boxes) < 2
    assert (out.boxes >= 0).all()
    assert (out.boxes <= 8).all()


def test_named_in_yaml(make_folder):
    node = {
        "_target_": "corrlight.data.CocoDataModule", "root": str(make_folder()),
        "train_images": None, "train_annotations": None, "val_images": None,
        "val_annotations": None, "batch_size": 3,
        "train_transforms": {
            "colors": {"_target_": "torchvision.transforms.v2.ColorJitter", "brightness": 0.5},
            "nothing": None,
        },
    }  # fmt: skip
    (batch,) = instantiate(node).train_dataloader()
    assert batch.images.shape[0] == 3


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (v1.ColorJitter(0.5), r"`train_transforms\.a` .* torchvision\.transforms\.v2\.ColorJitter"),
        (torch.nn.ReLU(), r"but got a torch\.nn\.modules\.activation\.ReLU\."),
        (7, r"but got a builtins\.int"),
    ],
)
def test_other_steps_are_refused_at_construction(make_folder, step, message):
    with pytest.raises(ValueError, match=message):
        CocoDataModule(make_folder(), None, None, None, None, train_transforms={"a": step})


def test_our_own_steps_stay_as_they_are():
    flip = RandomHorizontalFlip()
    assert as_steps({"flip": flip, "off": None}, "train_transforms") == (flip,)
    assert as_steps(None, "train_transforms") == ()


def test_albumentations_missing_or_at_work():
    try:
        import albumentations  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="pip install albumentations"):
            Albumentations({"HorizontalFlip": {}})
        return
    step = Albumentations({"HorizontalFlip": {"p": 1.0}, "RandomCrop": {"height": 30, "width": 40}})
    for seed in range(8):
        out = step(SAMPLE, rng(seed))
        for box, mask in zip(out.boxes, out.masks, strict=True):
            assert np.allclose(extent(mask.bool()), box.tolist(), atol=1)
    assert_repeatable(SAMPLE, [step])
    with pytest.raises(ValueError, match="refuses `RandomCrop`"):
        Albumentations({"RandomCrop": {"height": -1}})
    with pytest.raises(ValueError, match="a transform of albumentations, but got 'Nothing'"):
        Albumentations({"Nothing": {}})
