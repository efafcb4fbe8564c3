import pytest
import torch
from torch import nn

from corrlight.config.compose import compose_config
from corrlight.optim import parameter_groups, warmup_multistep


def rates(steps: int, **options) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = warmup_multistep(optimizer, steps_per_epoch=10, **options)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_decay_after_milestone_epochs():
    seen = rates(40, milestones=[2, 3])
    assert seen == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 10)


def test_warm_up_is_linear_from_its_ratio():
    seen = rates(6, milestones=[], warmup_steps=4, warmup_ratio=0.2)
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"milestones": [3, 2]}, r"`milestones` to increase, but got \[3, 2\]"),
        ({"milestones": ["8", "11"]}, r"`milestones` to be a finite number > 0, but got '8'"),
        ({"milestones": [True]}, "`milestones` to be a finite number > 0, but got True"),
        ({"milestones": "8"}, "`milestones` to be a list of epochs, but got '8'"),
        ({"milestones": [], "warmup_steps": -1}, "`warmup_steps` to be a finite number >= 0"),
        ({"milestones": [], "warmup_ratio": 0.0}, r"`warmup_ratio` to be in \(0, 1\], but got 0.0"),
    ],
)
def test_bad_schedule(options, message):
    with pytest.raises(ValueError, match=message):
        rates(1, **options)


def test_groups_follow_the_longest_prefix_and_leave_frozen_parameters_out():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["a"].bias.requires_grad_(False)
    groups = parameter_groups(model, 1.0, {"b": 0.1, "b.bias": 0.5})
    assert {g["lr"]: len(g["params"]) for g in groups} == {1.0: 1, 0.1: 1, 0.5: 1}


def test_a_star_stands_for_any_part_of_a_name():
    layers = nn.ModuleList(nn.ModuleDict({"to_points": nn.Linear(2, 2)}) for _ in range(2))
    model = nn.ModuleDict({"layers": layers, "points_of": nn.Linear(3, 3)})
    groups = parameter_groups(model, 1.0, {"*_points": 0.1, "layers.1.to_points.bias": 0.5})
    sizes = {g["lr"]: sorted(p.numel() for p in g["params"]) for g in groups}
    assert sizes == {0.1: [2, 4, 4], 0.5: [2], 1.0: [3, 9]}
    with pytest.raises(ValueError, match=r"\['\*_boxes'\] are none"):
        parameter_groups(model, 1.0, {"*_boxes": 0.1})


def test_a_name_is_a_module_not_the_beginning_of_another():
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "backbone2": nn.Linear(3, 3)})
    groups = parameter_groups(model, 1.0, {"backbone": 0.1})
    sizes = {g["lr"]: sorted(p.numel() for p in g["params"]) for g in groups}
    assert sizes == {0.1: [2, 4], 1.0: [3, 9]}


@pytest.mark.parametrize("factor", ["0.1", -1.0, float("nan"), None])
def test_factors_are_numbers(factor):
    with pytest.raises(ValueError, match=r"`lr_multipliers\.a` to be a finite number"):
        parameter_groups(nn.ModuleDict({"a": nn.Linear(1, 1)}), 1.0, {"a": factor})


def test_groups_refuse_a_prefix_that_names_nothing():
    with pytest.raises(ValueError, match=r"but \['c'\] are none"):
        parameter_groups(nn.Linear(1, 1), 1.0, {"c": 0.1})


def test_shares_of_the_run_are_the_epochs_that_they_come_to():
    epochs = {"milestones": [8, 9], "warmup_steps": 8, "warmup_ratio": 0.05}
    shares = {"milestones": [0.8, 0.9], "warmup_steps": 0.08, "warmup_ratio": 0.05}
    assert rates(100, **shares, epochs=10) == rates(100, **epochs)
    half = rates(50, **shares, epochs=5)
    assert half[39:46] == pytest.approx([1.0, *[0.1] * 5, 0.01])


@pytest.mark.parametrize(
    ("name", "epochs", "milestones", "warmup_steps"),
    [
        ("shapes_dense", 10, [8, 9], 100),
        ("shapes_set", 50, [40, 46], 100),
        ("shapes_detr", 36, [30, 35], 250),
    ],
)
def test_small_schedules_are_what_they_were_on_the_shapes(name, epochs, milestones, warmup_steps):
    config = compose_config([f"schedule={name}"]).config.schedule
    options = {**config.scheduler}
    del options["_target_"], options["_partial_"]
    options["milestones"] = list(options["milestones"])

    def made(**changed):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = warmup_multistep(optimizer, steps_per_epoch=125, **{**options, **changed})
        return [scheduler.lr_lambdas[0](step) for step in range(epochs * 125)]

    assert config.max_epochs == epochs
    assert made() == made(milestones=milestones, warmup_steps=warmup_steps)


def test_a_share_needs_the_epochs():
    with pytest.raises(ValueError, match=r"Expected `epochs` beside \[0\.5\]"):
        rates(1, milestones=[0.5])


def test_shares_and_epochs_that_cross_are_refused():
    with pytest.raises(ValueError, match="`milestones` to increase in a run of 20 epochs"):
        rates(1, milestones=[0.5, 3], epochs=20)
