"""Networks of timm, compared with timm itself."""

import pytest
import torch

from corrlight.backbones import Timm
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.engine.class_rows import rows_of_module
from tests.detectors.build import batch_of


@pytest.fixture(scope="module")
def timm():
    """Imported by the test process that runs these tests, not by each that collects them."""
    import timm

    return timm


# Maps at strides 2 to 32, at 4 to 32, and several at one stride.
NAMES = ["mobilenetv3_small_050", "convnext_atto", "vgg11"]


@pytest.mark.parametrize("name", NAMES)
def test_the_maps_are_timms(timm, name):
    torch.manual_seed(0)
    own = Timm(name, out_stages=(2, 3)).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(name, features_only=True).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, expected = own(images), theirs(images)
    assert [tuple(x.shape[2:]) for x in maps] == [(8, 12), (4, 6)]
    assert [x.shape[1] for x in maps] == own.out_channels
    for x in maps:
        same = [y for y in expected if y.shape == x.shape]
        torch.testing.assert_close(x, same[-1])


def test_channels_last_networks_are_turned():
    net = Timm("swin_tiny_patch4_window7_224", options={"strict_img_size": False}).eval()
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (96, 16, 24), (192, 8, 12), (384, 4, 6), (768, 2, 3),
    ]  # fmt: skip


def test_weights_of_a_file_and_other_normalisation(timm, tmp_path):
    """Weights that expect pictures from -1 to 1 see them, however the data are normalised."""
    name = "mobilenetv3_small_050"
    donor = timm.create_model(name)
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    net = Timm(name, tmp_path / "w.pth", mean=[0, 0, 0], std=[127.5] * 3).eval()
    plain = timm.create_model(name, features_only=True).eval()
    plain.load_state_dict(donor.state_dict(), strict=False)
    image = 255 * torch.rand(1, 3, 64, 96)
    mean, std = (255 * torch.tensor(donor.pretrained_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        got, expected = net(image / 127.5)[-1], plain((image - mean) / std)[-1]
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_frozen_normalisation_stays(tmp_path):
    net = Timm("mobilenetv3_small_050", norm="frozen").train()
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" in k}
    assert before
    sum(x.sum() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    trained = Timm("mobilenetv3_small_050").train()
    assert sum(p.requires_grad for p in net.parameters()) < sum(
        p.requires_grad for p in trained.parameters()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "no_such_net"}, r"`backbone.name` to be a network of timm .*Unknown model"),
        ({"name": "vit_tiny_patch16_224"}, r"strides \[4, 8, 16, 32\], but those of .* \[16"),
        ({"name": "swin_tiny_patch4_window7_224"}, r"pictures of any size.*strict_img_size=false"),
        ({"name": "resnet18", "out_stages": (3, 2)}, r"`out_stages` to be increasing"),
        ({"name": "resnet18", "norm": "none"}, r"`norm`"),
        ({"name": "resnet18", "weights": "nowhere.pth"}, r"`weights` to be None"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        Timm(**arguments)


def test_another_networks_file_is_refused(timm, tmp_path):
    torch.save(timm.create_model("convnext_atto").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"fit timm's mobilenetv3_small_050, but 0%"):
        Timm("mobilenetv3_small_050", tmp_path / "w.pth")


@pytest.mark.parametrize("detector", ["atss_small", "yolact_small", "detr_small"])
def test_detectors_train_on_it(detector):
    options = ["backbone=timm", "backbone.name=mobilenetv3_small_050", "data.num_classes=5"]
    config = compose_config([f"detector={detector}", *options]).config
    module = build_module(config)
    module.step(batch_of()).loss.backward()
    gradients = [p.grad for p in module.detector.backbone.parameters() if p.requires_grad]
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)
    assert not any("backbone" in name for name in rows_of_module(config))
