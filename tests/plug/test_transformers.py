"""Correlation Loss in detectors of transformers."""

from __future__ import annotations

import importlib.util

import pytest
from torch.nn.modules.module import register_module_forward_hook

from corrlight.plug import correlate
from tests.helpers.plug.plug_bars import CHECKS, made, seeded

pytestmark = pytest.mark.hf

# Without the library the tests are skipped by their marker; their names are those of the newest.
if importlib.util.find_spec("transformers") is not None:
    from tests.helpers.plug.hf_zoo import HF_ZOO, NUM_CLASSES, hf_batch
else:
    HF_ZOO, NUM_CLASSES, hf_batch = {"DFine": None, "RTDetrV2": None, "LwDetr": None}, 4, None

QUERIES = {"layers": "last"}
FAMILIES = ("RTDetr", "RTDetrV2", "DFine", "Deimv2")


class Case:
    num_classes = NUM_CLASSES
    box_heads = r"bbox|enc_out.*coord|ref_point_head|reg_conf_none"
    one_positive = QUERIES

    def __init__(self, name):
        self.name, self.make = name, HF_ZOO[name]
        self.max_layers = 3
        self.steps_to_learn = 30
        self.options = (QUERIES, {"group_by": "image"})
        self.foreign = ({"scores": "class"},)
        if name in FAMILIES:
            self.options = (*self.options, {"denoising": True})
        else:
            self.foreign = (*self.foreign, {"denoising": True})
        if name in ("LwDetr", "RfDetr"):
            self.one_positive = {**QUERIES, "group_queries": "first"}
            self.options = (*self.options, {"group_queries": "first"})
        else:
            self.foreign = (*self.foreign, {"group_queries": "first"})

    def attached(self, model):
        return model

    def batch(self, kind):
        return hf_batch(kind)

    def step(self, model, batch):
        images, labels = batch
        output = model(pixel_values=images, labels=labels)
        return output.loss, output.loss_dict.get("loss_correlation")

    validate = step


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", HF_ZOO)
def test_bar(name, check):
    check(Case(name))


@pytest.mark.parametrize("name", [n for n in HF_ZOO if n in FAMILIES or n == "LwDetr"])
def test_no_second_matching_and_no_second_forward_pass(name):
    import transformers

    case = Case(name)
    model = made(case)
    calls: list[str] = []

    def see(module, args, output):
        kind = type(module).__name__
        if kind.endswith(("HungarianMatcher", "Backbone", "ConvEncoder")):
            calls.append(kind)

    hook = register_module_forward_hook(see)
    try:
        seeded(case, model)
        without = list(calls)
        handle = correlate(model)  # asks the matcher once, of a made-up picture
        calls.clear()
        seeded(case, model)
    finally:
        hook.remove()
    handle.remove()
    # Up to 4.57 the last layer is matched with its denoising queries, and has to be again.
    again = name in FAMILIES and int(transformers.__version__.partition(".")[0]) < 5
    assert len(calls) == len(without) + again
    assert any(kind.endswith("HungarianMatcher") for kind in without)
