import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.engine.class_rows import ClassRows, class_rows, reordered, rows_of_module
from tests.detectors.build import batch_of

# Every detector's rows are tried in test_transfer. Here: rows alone, of anchors, with background
# last, and with background first and boxes of each class.
KINDS = ("atss_small", "retinanet_small", "yolact_small", "tv_faster_rcnn_small")


def test_rows_of_anchors_and_background():
    rows = ClassRows(repeats=2, extra=1)
    assert [rows.count(n) for n in (8, 7, 2)] == [3, None, None]
    selected = rows.select(torch.arange(8), [2, 0])
    assert selected.tolist() == [2, 0, 3, 6, 4, 7]


def test_another_axis_is_refused():
    assert class_rows({"a": (3,), "b": (2,)}, {"a": (4,), "b": (2,)}) == {"a": ClassRows(1, 0)}
    for more in ({"a": (2, 4)}, {}, {"a": (3, 4)}):
        with pytest.raises(ValueError, match=r"along the first axis of 'a', but its shape is"):
            class_rows({"a": (2, 3)}, more)


def test_nothing_to_reorder_is_an_error():
    with pytest.raises(ValueError, match="but the model has none"):
        reordered({"a": torch.ones(3)}, {}, [1, 0])
    with pytest.raises(ValueError, match="Expected 2 classes in 'a'"):
        reordered({"a": torch.ones(3)}, {"a": ClassRows(1, 0)}, [1, 0])


@pytest.mark.parametrize("detector", KINDS)
def test_the_reordered_detector_says_the_same_of_every_class(detector):
    """All of its outputs are those of before, with the classes in their new places."""
    config = compose_config([f"detector={detector}", "data.num_classes=3"]).config
    config.data.num_classes = 5
    torch.manual_seed(0)
    module = build_module(config).eval()
    with torch.no_grad():
        for parameter in module.detector.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    order = [3, 0, 4, 1, 2]
    batch = batch_of()
    with torch.no_grad():
        before = module.detector(batch)
        module.load_state_dict(reordered(module.state_dict(), rows_of_module(config), order))
        after = module.detector(batch)
    for old, new in zip(before, after, strict=True):
        if old.proposes:
            assert torch.equal(new.logits, old.logits)
            continue
        background = range(5, old.logits.shape[-1])
        torch.testing.assert_close(new.logits, old.logits[..., [*order, *background]])
        torch.testing.assert_close(new.boxes, old.boxes)
        if old.class_boxes is not None:
            torch.testing.assert_close(new.class_boxes, old.class_boxes[:, :, order])
        assert not torch.equal(new.logits, old.logits)
