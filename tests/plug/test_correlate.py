"""One call for all libraries."""

import pytest
import torch
from torch import nn

from corrlight.plug import Correlation, correlate
from corrlight.plug.correlate import library_of, unwrapped
from tests.helpers.plug.torchvision_zoo import TORCHVISION_ZOO


def retinanet():
    torch.manual_seed(0)
    return TORCHVISION_ZOO["retinanet"]()


def test_the_library_is_that_of_the_nearest_class():
    class Mine(type(retinanet())):
        pass

    assert library_of(Mine.__new__(Mine)) == "torchvision"
    with pytest.raises(ValueError, match=r"but got a Linear: docs/plug_in\.md says what to do"):
        correlate(nn.Linear(2, 2))


def test_wrappers_are_seen_through():
    model = retinanet()
    assert unwrapped(nn.DataParallel(model)) is model
    compiled = torch.compile(model)
    assert unwrapped(nn.DataParallel(compiled)) is model
    handle = correlate(compiled)
    assert "compute_loss" in vars(model.head)
    handle.remove()
    assert "compute_loss" not in vars(model.head)


def test_the_handle_names_library_and_version():
    handle = correlate(retinanet(), 0.3, "pearson")
    assert isinstance(handle, Correlation)
    assert handle.library.startswith("torchvision 0.")
    assert (handle.weight, handle.loss.coefficient) == (0.3, "pearson")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"weight": -1}, "weight"),
        ({"coefficient": "kendall"}, "coefficient"),
        ({"group_by": "class"}, "group_by"),
        ({"backprop": "none"}, "backprop"),
        ({"layers": "some"}, "layers"),
        ({"min_positives": 1}, "min_positives"),
    ],
)
def test_options_are_checked_before_the_detector_changes(options, name):
    model = retinanet()
    with pytest.raises(ValueError, match=f"^Expected `{name}` "):
        correlate(model, **options)
    assert "compute_loss" not in vars(model.head)
