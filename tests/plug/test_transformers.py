"""Correlation Loss in detectors of transformers."""

from __future__ import annotations

import importlib.util

import pytest

from tests.helpers.plug_bars import CHECKS

pytestmark = pytest.mark.hf

# Without the library the tests are skipped by their marker; their names are those of the newest.
if importlib.util.find_spec("transformers") is not None:
    from tests.helpers.hf_zoo import HF_ZOO, NUM_CLASSES, hf_batch
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
