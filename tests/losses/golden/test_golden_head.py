"""The losses composed to ATSS's published total (golden ``head_atss.npz``)."""

import pytest
import torch

from corrlight.boxes import DeltaCoder, paired_iou
from corrlight.losses import (
    binary_cross_entropy,
    centerness_target,
    correlation_loss,
    giou_loss,
    sigmoid_focal_loss,
)
from tests.losses.golden.golden_data import assert_close, identifier, load

pytestmark = pytest.mark.golden

CODER = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))


class Head:
    """The rows of all levels, level-major, with the inputs that the gradients belong to."""

    def __init__(self, golden, case):
        self.num_levels = len(case["levels"])
        self.inputs = {"cls": [], "bbox": [], "centerness": []}
        names = {"cls": "cls_score", "bbox": "bbox_pred", "centerness": "centerness"}
        columns = {key: [] for key in [*names, "labels", "label_weights", "anchors", "targets"]}
        level = []
        for k in range(self.num_levels):
            for key, name in names.items():
                x = golden.tensor(case, f"l{k}_{name}").requires_grad_()
                self.inputs[key].append(x)
                columns[key].append(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]))
            columns["labels"].append(golden.tensor(case, f"l{k}_labels").flatten())
            columns["label_weights"].append(golden.tensor(case, f"l{k}_label_weights").flatten())
            columns["anchors"].append(golden.tensor(case, f"l{k}_anchors").view(-1, 4))
            columns["targets"].append(golden.tensor(case, f"l{k}_bbox_targets").view(-1, 4))
            level.append(torch.full_like(columns["labels"][-1], k))
        self.rows = {key: torch.cat(values) for key, values in columns.items()}
        self.level = torch.cat(level)

    def grads(self, key):
        return [torch.zeros_like(x) if x.grad is None else x.grad for x in self.inputs[key]]

    def clear(self):
        for inputs in self.inputs.values():
            for x in inputs:
                x.grad = None


def losses_of(head, case):
    """Return the weighted terms as the published head composes them."""
    rows, num_classes = head.rows, case["num_classes"]
    per_level = bool(case["use_loss_single"])
    weights, labels = rows["label_weights"], rows["labels"]
    positive = (labels < num_classes).nonzero().squeeze(1)
    samples = case["num_total_samples"]
    cls = sigmoid_focal_loss(rows["cls"], labels, weights=weights, normalizer=samples)

    boxes = CODER.decode(rows["anchors"], rows["bbox"])[positive]
    target_boxes = rows["targets"][positive]
    target = centerness_target(rows["anchors"][positive], target_boxes)
    total = target.sum()
    normalizer = total.clamp(min=1) if per_level else torch.where(total < 1e-12, 1, total)
    bbox = 2 * giou_loss(boxes, target_boxes, target, normalizer=normalizer)
    centerness = binary_cross_entropy(
        rows["centerness"].squeeze(1)[positive], target, normalizer=samples
    )
    scores = rows["cls"][positive, labels[positive]].sigmoid()
    spearman = case["corr_type"] == "spearman"
    corr = correlation_loss(
        scores,
        paired_iou(boxes, target_boxes).clamp(min=1e-6),
        case["corr_type"],
        groups=head.level[positive] if per_level else None,
        regularization_strength=case["regul_strength"] if spearman else None,
    )
    return {
        "loss_cls": cls,
        "loss_bbox": bbox,
        "loss_centerness": case["loss_centerness_weight"] * centerness,
        "loss_corr": case["corr_w"] * corr,
    }


@pytest.mark.parametrize("case", load("head_atss").cases, ids=identifier)
def test_terms_and_gradients(case):
    golden = load("head_atss")
    head = Head(golden, case)
    terms = losses_of(head, case)
    # Deviation: the published concatenated mode trains no negatives in a batch without positives.
    drops_negatives = not case["use_loss_single"] and sum(case["num_pos_per_level"]) == 0
    for name, value in terms.items():
        expected = golden.expected(case, name)
        if name == "loss_cls" and drops_negatives:
            assert expected == 0
            assert value > 0
            continue
        # The reference's centerness is float32.
        rtol = 1e-6 if name == "loss_centerness" else None
        assert_close(value, expected, torch.float64, name, rtol)

    terms["loss_corr"].backward(retain_graph=True)
    for k, grad in enumerate(head.grads("cls")):
        expected = golden.expected(case, f"l{k}_grad_corr_cls")
        assert_close(grad, expected, torch.float64, f"level {k}, corr")
    assert all((grad == 0).all() for grad in head.grads("bbox"))
    head.clear()

    if drops_negatives:
        del terms["loss_cls"]
    sum(terms.values()).backward()
    # In float32, sigmoid minus target carries an error of 1e-7 however small it is.
    for key, rtol, scale in (("cls", None, 1), ("bbox", None, 1), ("centerness", 1e-6, 100)):
        for k, grad in enumerate(head.grads(key)):
            expected = golden.expected(case, f"l{k}_grad_{key}")
            assert_close(grad, expected, torch.float64, f"level {k}, {key}", rtol, scale)
