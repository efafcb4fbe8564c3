"""What a matcher was given and gave back."""

import threading

import pytest
import torch
from torch import nn

from corrlight.plug.matcher_calls import EnoughError, MatcherCall, matching, num_denoising


class ToyHungarianMatcher(nn.Module):
    """The query of the highest first logit for the one object; counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, outputs, targets, group_detr=1):
        self.count += 1
        groups = outputs["logits"].chunk(group_detr, 1)
        size = groups[0].shape[1]
        best = torch.stack([g[..., 0].argmax(1) + k * size for k, g in enumerate(groups)], 1)
        return [(queries, torch.zeros(group_detr, dtype=torch.long)) for queries in best]


def outputs_of(*values):
    logits = torch.tensor(values)[None, :, None]
    return {"logits": logits, "pred_boxes": torch.rand(1, len(values), 4)}


def seen(outputs, **more):
    calls = []
    matcher = ToyHungarianMatcher()
    with matching(calls):
        matcher(outputs, [{}], **more)
        nn.Linear(1, 1)(torch.zeros(1, 1))  # not a matcher
    matcher(outputs, [{}])  # not seen any more
    (call,) = calls
    return call


def test_a_call_is_seen_with_what_it_was_given():
    outputs = outputs_of(0.1, 0.9, 0.3)
    call = seen(outputs)
    assert call.outputs is outputs
    assert call.group_queries == 1
    assert call.indices[0][0].tolist() == [1]


def test_ordinary_calls_are_not_made_again():
    call = seen(outputs_of(0.1, 0.9, 0.3))
    before = call.matcher.count
    assert call.ordinary(None, True) is call
    # The denoising queries are not in there: five and three would be eight.
    assert call.ordinary((5, 3), True) is call
    grouped = seen(outputs_of(0.1, 0.9, 0.8, 0.3), group_detr=2)
    assert grouped.ordinary(None, True) is grouped
    assert call.matcher.count == before


def test_denoising_queries_are_left_out():
    call = seen(outputs_of(0.9, 0.1, 0.2, 0.3)).ordinary((2, 2), True)
    assert call.outputs["logits"].shape[1] == 2
    assert call.indices[0][0].tolist() == [1]


def test_one_group_is_not_split_outside_of_training():
    call = seen(outputs_of(0.1, 0.9, 0.8, 0.3), group_detr=2)
    assert call.indices[0][0].tolist() == [1, 2]
    assert call.ordinary(None, False).indices[0][0].tolist() == [1]


def test_the_first_call_may_be_enough():
    calls = []
    with pytest.raises(EnoughError), matching(calls, stop=True):
        ToyHungarianMatcher()(outputs_of(0.5), [{}])
    assert len(calls) == 1


def test_other_threads_are_not_seen():
    calls = []
    with matching(calls):
        other = threading.Thread(target=lambda: ToyHungarianMatcher()(outputs_of(0.5), [{}]))
        other.start()
        other.join()
    assert calls == []


def test_numbers_of_denoising_queries():
    assert num_denoising({}) is None
    assert num_denoising({"denoising_meta_values": None}) is None
    assert num_denoising({"denoising_meta_values": {"dn_num_split": [20, 30]}}) == (20, 30)


def test_a_call_is_a_record():
    call = MatcherCall(matcher=ToyHungarianMatcher(), outputs={}, targets=[])
    assert (call.group_queries, call.indices) == (1, [])
