"""Correlation Loss: groups, reductions, gradients, undefined correlations and arguments."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy.stats import spearmanr

from corrlight.boxes import paired_iou
from corrlight.losses import CorrelationLoss, concordance, correlation_loss, pearson, spearman
from corrlight.losses.base import CountingLossCallback, LossOutput
from corrlight.losses.correlation import _say_degenerate
from corrlight.structures import Positives
from tests.helpers.hypothesis_settings import UNHURRIED

CONF = Path(__file__).parents[2] / "conf" / "corr"
NAMES = ["pearson", "spearman", "spearman_rank", "concordance"]
everywhere = pytest.mark.parametrize("name", NAMES)


def random_scores(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, n, dtype=torch.float64, generator=generator).unbind(0)


def make_positives(n, seed=0, images=None, levels=None, logits=None):
    """Return positives with jittered boxes and the leaves that gradients go to."""
    generator = torch.Generator().manual_seed(seed)
    if logits is None:
        logits = torch.randn(n, generator=generator)
    logits = logits.requires_grad_()
    corner = torch.rand(n, 2, generator=generator) * 80
    gt_boxes = torch.cat([corner, corner + 20 + torch.rand(n, 2, generator=generator) * 30], 1)
    pred_boxes = (gt_boxes + torch.randn(n, 4, generator=generator) * 4).requires_grad_()
    zeros = torch.zeros(n, dtype=torch.long)
    positives = Positives(
        scores=logits.sigmoid(),
        pred_boxes=pred_boxes,
        gt_boxes=gt_boxes,
        labels=zeros,
        image_idx=zeros if images is None else torch.tensor(images),
        pred_idx=torch.arange(n),
        level_idx=zeros if levels is None else torch.tensor(levels),
        gt_idx=zeros,
    )
    return positives, logits, pred_boxes


@everywhere
def test_is_one_minus_the_coefficient(name):
    positives, _, _ = make_positives(20)
    functions = {
        "pearson": pearson,
        "concordance": concordance,
        "spearman": spearman,
        "spearman_rank": lambda x, y: spearman(x, y, relative_strength=0.3),
    }
    options = {"relative_strength": 0.3} if name == "spearman_rank" else {}
    loss = CorrelationLoss(name, 0.2, **options)(positives)
    expected = 1 - functions[name](positives.scores, positives.ious())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert correlation_loss(positives.scores, positives.ious(), name, **options) == loss


def test_is_a_loss_callback_that_counts():
    callback = CorrelationLoss("concordance", 0.2)
    assert isinstance(callback, CountingLossCallback)
    assert callback.weight == 0.2
    output = callback.evaluate(make_positives(5)[0])
    assert isinstance(output, LossOutput)
    assert {k: int(v) for k, v in output.counts.items()} == {"num_groups": 1, "num_undefined": 0}


def test_weight_is_not_applied():
    positives, _, _ = make_positives(9)
    losses = {CorrelationLoss("pearson", weight)(positives).item() for weight in (0.0, 0.2, 5)}
    assert len(losses) == 1


def test_its_factor_rises_over_the_ramp_and_stays():
    loss = CorrelationLoss("pearson", 0.2, ramp=0.5)
    assert [loss.weight_at(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 0.1, 0.2, 0.2, 0.2]
    assert CorrelationLoss("pearson", 0.2).weight_at(0.0) == 0.2
    assert CorrelationLoss("pearson", 0.2, ramp=1).weight_at(0.75) == pytest.approx(0.15)


def test_coefficient_may_be_a_function():
    positives, _, _ = make_positives(9)
    assert CorrelationLoss(pearson, 1)(positives) == CorrelationLoss("pearson", 1)(positives)
    assert CorrelationLoss(lambda x, y: (x * y).sum() * 0, 1)(positives) == 1


@pytest.mark.parametrize("group_by", ["image", "level"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_groups(group_by, reduction):
    index = [3, 0, 3, 1, 0, 3, 0, 7, 0, 3]  # 1 and 7 have one positive each
    positives, _, _ = make_positives(
        len(index), **{{"image": "images", "level": "levels"}[group_by]: index}
    )
    callback = CorrelationLoss("concordance", 1, group_by=group_by, reduction=reduction)
    output = callback.evaluate(positives)
    groups = [torch.tensor(index) == k for k in (0, 3)]
    values = [1 - concordance(positives.scores[g], positives.ious()[g]) for g in groups]
    expected = sum(values) / (2 if reduction == "mean" else 1)
    torch.testing.assert_close(output.value, expected)
    assert {k: int(v) for k, v in output.counts.items()} == {"num_groups": 2, "num_undefined": 2}
    plain = correlation_loss(
        positives.scores, positives.ious(), groups=torch.tensor(index), reduction=reduction
    )
    assert plain == output.value


@everywhere
def test_groups_are_correlated_one_by_one(name):
    """Values and gradients of ragged groups, some without a correlation, in any order."""
    sizes = [1, 30, 2, 5, 1, 80, 3]
    labels = torch.cat([torch.full((n,), 10 - k) for k, n in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    scores, ious = random_scores(len(labels))
    scores[labels == 10 - 3] = 0.25  # constant
    scores.requires_grad_()
    ious.requires_grad_()
    options = {"regularization_strength": 0.02} if name == "spearman" else {}
    loss = correlation_loss(scores, ious, name, labels, "sum", "both", **options)
    gradients = torch.autograd.grad(loss, (scores, ious))
    alone = [
        correlation_loss(
            scores[labels == k], ious[labels == k], name, None, "sum", "both", **options
        )
        for k in labels.unique()
    ]
    torch.testing.assert_close(loss, sum(alone), rtol=1e-9, atol=1e-9)
    for gradient, expected in zip(
        gradients, torch.autograd.grad(sum(alone), (scores, ious)), strict=True
    ):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    assert (gradients[0][labels == 10 - 3] == 0).all()


def test_constant_group_counts_as_zero_in_the_mean():
    # As published: a level with enough positives is active even if its scores are constant.
    positives, logits, _ = make_positives(
        6, levels=[0, 0, 0, 1, 1, 1], logits=torch.tensor([0.1, 0.4, -0.3, 0.5, 0.5, 0.5])
    )
    output = CorrelationLoss("pearson", 1, group_by="level").evaluate(positives)
    first = 1 - pearson(positives.scores[:3], positives.ious()[:3])
    torch.testing.assert_close(output.value, first / 2)
    assert {k: int(v) for k, v in output.counts.items()} == {"num_groups": 2, "num_undefined": 1}
    output.value.backward()
    assert (logits.grad[3:] == 0).all()


def test_min_positives():
    positives, _, _ = make_positives(7, images=[0, 0, 0, 0, 1, 1, 1])
    callback = CorrelationLoss("pearson", 1, group_by="image", min_positives=4)
    expected = 1 - pearson(positives.scores[:4], positives.ious()[:4])
    torch.testing.assert_close(callback(positives), expected)


@everywhere
@pytest.mark.parametrize(
    ("backprop", "classifier", "boxes"),
    [("classification", True, False), ("localization", False, True), ("both", True, True)],
)
def test_backprop(name, backprop, classifier, boxes):
    positives, logits, pred_boxes = make_positives(40)
    CorrelationLoss(name, 1, backprop=backprop)(positives).backward()
    for leaf, learns in ((logits, classifier), (pred_boxes, boxes)):
        if learns:
            assert leaf.grad.isfinite().all()
            assert (leaf.grad != 0).any()
        else:
            assert leaf.grad is None or (leaf.grad == 0).all()


@everywhere
@pytest.mark.parametrize("backprop", ["classification", "localization", "both"])
@pytest.mark.parametrize("case", ["none", "one", "constant scores", "constant ious", "saturated"])
def test_undefined_is_a_zero_attached_to_the_graph(name, backprop, case):
    n = {"none": 0, "one": 1}.get(case, 6)
    logits = {"constant scores": torch.full((n,), 0.1), "saturated": torch.full((n,), 200.0)}
    positives, leaf, pred_boxes = make_positives(n, logits=logits.get(case))
    if case == "constant ious":
        pred_boxes = positives.gt_boxes.clone().requires_grad_()
        positives = replace(positives, pred_boxes=pred_boxes)
    output = CorrelationLoss(name, 1, backprop=backprop).evaluate(positives)
    assert output.value == 0
    assert output.counts["num_undefined"] == 1
    output.value.backward()
    learners = {"classification": [leaf], "localization": [pred_boxes], "both": [leaf, pred_boxes]}
    for learner in learners[backprop]:
        assert (learner.grad == 0).all()


@pytest.mark.parametrize("group_by", ["batch", "image", "level"])
def test_no_positives_in_any_grouping(group_by):
    positives, logits, _ = make_positives(0)
    output = CorrelationLoss("concordance", 1, group_by=group_by).evaluate(positives)
    assert output.value == 0
    assert {k: int(v) for k, v in output.counts.items()} == {"num_groups": 0, "num_undefined": 1}
    output.value.backward()
    assert logits.grad is not None


@everywhere
@pytest.mark.parametrize("backprop", ["classification", "both"])
def test_gradcheck(name, backprop):
    scores, ious = (v.requires_grad_() for v in random_scores(11))
    groups = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2])
    options = {"regularization_strength": 0.1} if name == "spearman" else {}
    inputs = (scores, ious) if backprop == "both" else (scores,)
    assert torch.autograd.gradcheck(
        lambda *v: correlation_loss(
            v[0], v[1] if backprop == "both" else ious, name, groups, backprop=backprop, **options
        ),
        inputs,
    )


@everywhere
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions(name, dtype):
    logits = torch.randn(30, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    scores, ious = logits.sigmoid(), torch.rand(30).to(dtype)
    loss = correlation_loss(scores, ious, name)
    expected = correlation_loss(scores.detach().float(), ious.float(), name)
    torch.testing.assert_close(loss, expected)
    assert loss.dtype == torch.float32
    loss.backward()
    assert logits.grad.isfinite().all()


@everywhere
def test_autocast_changes_nothing(name):
    positives, _, _ = make_positives(40)
    callback = CorrelationLoss(name, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = callback(positives)
    assert inside == callback(positives)


@everywhere
@given(
    st.lists(
        st.tuples(
            st.floats(-1e4, 1e4) | st.sampled_from([0.0, -30.0]),
            st.floats(0, 1) | st.sampled_from([0.0, 1.0]),
            st.integers(0, 3),
        ),
        max_size=25,
    ),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.sampled_from(["mean", "sum"]),
)
@settings(UNHURRIED, max_examples=60)
def test_always_finite(name, rows, dtype, reduction):
    table = torch.tensor(rows, dtype=torch.float64).view(-1, 3)
    logits = table[:, 0].to(dtype).requires_grad_()
    groups = table[:, 2].long()
    loss = correlation_loss(logits.sigmoid(), table[:, 1].to(dtype), name, groups, reduction)
    loss.backward()
    assert loss.isfinite()
    assert -1e-6 <= loss <= 2 * (4 if reduction == "sum" else 1) + 1e-5
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    "name", [pytest.param("spearman", marks=pytest.mark.slow), "spearman_rank"]
)
def test_runs_inside_a_compiled_function(name):
    groups = torch.arange(24) % 3

    @torch.compile(backend="eager")
    def loss(logits, ious, groups):
        return correlation_loss(logits.sigmoid(), ious, name, groups) * 2

    for size in (24, 1, 0):
        logits = torch.linspace(-1, 1, 24).square()[:size].requires_grad_()
        ious = torch.linspace(0.3, 0.9, 24).cos()[:size]
        value = loss(logits, ious, groups[:size])
        value.backward()
        expected = logits.detach().clone().requires_grad_()
        again = correlation_loss(expected.sigmoid(), ious, name, groups[:size]) * 2
        again.backward()
        torch.testing.assert_close(value, again)
        torch.testing.assert_close(logits.grad, expected.grad)


def test_permuting_the_positives_changes_nothing():
    scores, ious = random_scores(30)
    groups = torch.arange(30) % 4
    order = torch.randperm(30)
    for name in NAMES:
        loss = correlation_loss(scores, ious, name, groups)
        permuted = correlation_loss(scores[order], ious[order], name, groups[order])
        torch.testing.assert_close(permuted, loss, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [100, 300, 1000])
@pytest.mark.parametrize(("mean", "deviation"), [(-1.5, 1.4), (-2.0, 1.5), (-5.0, 0.7)])
def test_the_default_strength_ranks_and_reaches_most_positives(n, mean, deviation):
    """On scores of detectors: within 0.02 of SciPy's value, a gradient for more than half."""
    errors, shares = [], []
    for seed in range(9):
        generator = torch.Generator().manual_seed(seed)
        a, b = torch.randn(2, n, dtype=torch.float64, generator=generator)
        scores = (mean + deviation * a).sigmoid().requires_grad_()
        ious = (0.72 + 0.14 * (0.4 * a + 0.84**0.5 * b)).clamp(0.05, 0.98)
        loss = correlation_loss(scores, ious, "spearman_rank")
        size = torch.autograd.grad(loss, scores)[0].abs()
        errors.append(abs(1 - loss.item() - spearmanr(scores.detach(), ious).statistic))
        shares.append((size > 1e-6 * size.max()).double().mean().item())
    # The rare draw whose largest score lies far out widens the spacing that the strength is of.
    assert sorted(errors)[-2] < 0.02
    assert sum(errors) / len(errors) < 0.01
    assert sum(shares) / len(shares) > 0.5


def test_perfect_agreement_and_disagreement():
    x = torch.linspace(0.1, 0.9, 10)
    for name in NAMES:
        assert correlation_loss(x, x, name).item() == pytest.approx(0, abs=1e-6)
        assert correlation_loss(x, 1 - x, name).item() == pytest.approx(2, abs=1e-6)
    assert correlation_loss(x, x**3, "concordance") > 0.05
    # The published strength does not rank: a monotone map is not a perfect correlation.
    assert correlation_loss(x, x**3, "spearman") > 0.05
    assert correlation_loss(x, x**3, "spearman_rank", relative_strength=1e-3) < 1e-6


def test_inputs_are_checked():
    scores, ious = random_scores(5)
    with pytest.raises(
        ValueError, match="Expected `scores` to be a tensor of floats, but got list"
    ):
        correlation_loss([0.5, 0.2], torch.rand(2))
    with pytest.raises(
        ValueError, match=r"Expected `ious` to be .* of floats, but got torch\.int64"
    ):
        correlation_loss(torch.rand(2), torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"one length, but got shapes \(5,\) and \(4,\)"):
        correlation_loss(scores, ious[:4])
    with pytest.raises(ValueError, match=r"`groups` to be integers of shape \(5,\)"):
        correlation_loss(scores, ious, groups=torch.zeros(5))
    scores[1] = scores[3] = float("nan")
    with pytest.raises(ValueError, match="`scores` to be finite, but 2 of 5 are NaN or infinite"):
        correlation_loss(scores, ious)
    with pytest.raises(ValueError, match="`ious` to be finite, but 2 of 5 are NaN or infinite"):
        correlation_loss(ious, scores)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": "kendall"}, "`coefficient` to be one of 'pearson', .*, but got 'kendall'"),
        ({"coefficient": None}, "`coefficient` to be one of .*, but got None"),
        ({"weight": -0.1}, "`weight` to be a finite number >= 0, but got -0.1"),
        ({"weight": float("nan")}, "`weight` to be a finite number >= 0, but got nan"),
        ({"weight": float("inf")}, "`weight` to be a finite number >= 0, but got inf"),
        ({"weight": "0.2"}, "`weight` to be a finite number >= 0, but got '0.2'"),
        ({"weight": None}, "`weight` to be a finite number >= 0, but got None"),
        ({"group_by": "lvl"}, "`group_by` to be one of 'batch', 'image', 'level', but got 'lvl'"),
        ({"reduction": "none"}, "`reduction` to be one of 'mean', 'sum', but got 'none'"),
        ({"backprop": "all"}, "`backprop` to be one of 'classification', .*, but got 'all'"),
        ({"min_positives": 1}, "`min_positives` to be an integer >= 2, but got 1"),
        ({"min_positives": 2.5}, "`min_positives` to be an integer >= 2, but got 2.5"),
        ({"sync": "no"}, "`sync` to be a bool, but got 'no'"),
        ({"ramp": 1.5}, r"`ramp` to be in \[0, 1\], but got 1.5"),
        ({"ramp": "0.5"}, r"`ramp` to be in \[0, 1\], but got '0.5'"),
        ({"regularization_strength": 1.0}, "only with `coefficient='spearman'`"),
        ({"coefficient": "spearman", "relative_strength": 1.0}, "only with .*'spearman_rank'"),
        ({"coefficient": "spearman", "regularization_strength": 0}, "finite number > 0, but got 0"),
        ({"coefficient": "spearman_rank", "relative_strength": -1}, "finite number > 0, .* -1"),
        ({"coefficient": pearson, "regularization_strength": 1.0}, "only with"),
    ],
)
def test_arguments_are_checked_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        CorrelationLoss(**{"coefficient": "pearson", "weight": 0.2, **arguments})


def test_degenerate_strength_is_said_once(caplog):
    _say_degenerate.cache_clear()
    scores, ious = random_scores(20)
    with caplog.at_level(logging.WARNING, logger="corrlight.losses.correlation"):
        # 0.5 / n and the rank loss do rank; nothing is said.
        correlation_loss(scores, ious, "spearman", regularization_strength=0.5 / 20)
        correlation_loss(scores, ious, "spearman_rank")
        assert not caplog.records
        for _ in range(3):
            correlation_loss(scores, ious, "spearman")
    assert len(caplog.records) == 1
    assert "is the Pearson loss here" in caplog.text


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_configuration(path):
    config = OmegaConf.load(path)
    if path.stem == "none":
        # Empty, so that `corr=none corr.weight=0.2` is an error: there is no such key.
        assert not config
        return
    callback = instantiate(config)
    assert isinstance(callback, CorrelationLoss)
    assert callback.weight == 0.2
    assert callback.coefficient == path.stem
    positives, logits, _ = make_positives(40)
    loss = callback(positives)
    assert loss == correlation_loss(
        positives.scores, paired_iou(positives.pred_boxes, positives.gt_boxes), path.stem
    )
    loss.backward()
    assert (logits.grad != 0).any()


def test_every_coefficient_has_a_configuration():
    assert {path.stem for path in CONF.glob("*.yaml")} == {*NAMES, "none"}


@everywhere
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("group_by", ["batch", "image"])
def test_nan_among_positives_makes_nan_where_it_says_so(name, value, group_by):
    positives, _, _ = make_positives(6, images=[0, 0, 0, 1, 1, 1])
    # The IoU of an infinite box is 0.
    for column in ("scores", "pred_boxes") if value != value else ("scores",):
        broken = getattr(positives, column).clone()
        broken[1] = value
        loss = CorrelationLoss(name, 0.2, group_by)
        assert loss.passes_on_nan == (name in ("pearson", "concordance"))
        if loss.passes_on_nan:
            found = loss.evaluate(replace(positives, **{column: broken}))
            assert found.value.isnan()
            assert found.value.requires_grad
            assert set(found.counts) == {"num_groups", "num_undefined"}
        else:
            with pytest.raises(ValueError, match="are NaN or infinite"):
                loss(replace(positives, **{column: broken}))
