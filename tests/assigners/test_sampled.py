import pytest
import torch

from corrlight.assigners import MaxIoUAssigner, SampledAssigner
from corrlight.assigners.base import HasEpochs
from corrlight.structures import BACKGROUND, IGNORED, Match
from tests.assigners.scene import predictions, random_boxes, targets


def sampled(num_samples=40, positive_share=0.25, **more):
    return SampledAssigner(MaxIoUAssigner(), num_samples, positive_share, **more)


def test_positives_up_to_their_share_negatives_fill_the_rest():
    stage, objects = predictions(2), targets(random_boxes(8, 1, smallest=30), random_boxes(1, 2))
    stage.valid[1, ::2] = False
    match = sampled()(stage, objects)
    whole = MaxIoUAssigner()(stage, objects)
    assert torch.equal(match.gt_idx, whole.gt_idx)
    assert not (match.sampled & (match.gt_idx == IGNORED)).any()
    assert not (match.sampled & ~stage.valid).any()
    assert match.sampled.sum(1).tolist() == [40, 40]
    few = int((whole.positive & stage.valid)[1].sum())
    assert few < 10 < int(whole.num_positives[0])
    assert (match.sampled & match.positive).sum(1).tolist() == [10, few]


def test_a_quota_beyond_all_takes_everything_that_counts():
    stage, objects = predictions(1), targets(random_boxes(4, 3))
    match = sampled(10_000, 1.0)(stage, objects)
    assert torch.equal(match.sampled, match.gt_idx != IGNORED)


def test_without_objects_there_are_negatives_alone():
    match = sampled()(predictions(1), targets([]))
    assert match.sampled.sum() == 40
    assert (match.gt_idx == BACKGROUND).all()


def test_the_draw_depends_on_seed_epoch_and_image_alone():
    stage, boxes = predictions(2), (random_boxes(8, 1, smallest=30), random_boxes(8, 2))
    first = sampled()
    whole = first(stage, targets(*boxes)).sampled
    torch.manual_seed(5)
    torch.rand(3)
    before = torch.get_rng_state()
    assert torch.equal(sampled()(stage, targets(*boxes)).sampled, whole)
    assert torch.equal(torch.get_rng_state(), before)
    # The same image in another batch.
    one = predictions(1)
    (_, second) = targets(*boxes)
    alone = Match(gt_idx=first.assigner(stage, targets(*boxes)).gt_idx[1:])
    own = SampledAssigner(lambda *_: alone, 40, 0.25)
    assert torch.equal(own(one, (second,)).sampled[0], whole[1])
    first.start_epoch(1)
    other = first(stage, targets(*boxes)).sampled
    assert not torch.equal(other, whole)
    first.start_epoch(0)
    assert torch.equal(first(stage, targets(*boxes)).sampled, whole)
    assert not torch.equal(sampled(seed=1)(stage, targets(*boxes)).sampled, whole)
    assert isinstance(first, HasEpochs)


def test_every_negative_has_its_chance():
    """The share of epochs that draw a hypothesis is that of the draw, within 5 deviations."""
    stage, objects = predictions(1), targets([])
    own, epochs = sampled(50, 0.5), 200
    total = torch.zeros(stage.valid.shape[1])
    for epoch in range(epochs):
        own.start_epoch(epoch)
        total += own(stage, objects).sampled[0]
    share = 50 / len(total)
    deviation = (share * (1 - share) * epochs) ** 0.5
    assert ((total - share * epochs).abs() < 5 * deviation).all()


def test_needs_and_bad_arguments():
    assert sampled().needs == ("priors",)
    assert sampled().activation is None
    for name, value in (("num_samples", 0), ("positive_share", 1.5), ("seed", -1)):
        with pytest.raises(ValueError, match=rf"`{name}`.*got {value}"):
            sampled(**{name: value})


def test_none_samples_nothing():
    stage, objects = predictions(1), targets(random_boxes(4, 3))
    match = sampled(None)(stage, objects)
    assert match.sampled is None
    assert match.drawn() is match
