"""Every YAML composes, and every object that it names can be made."""

import re

import pytest
import yaml

from corrlight.config.allowlist import check_targets
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config, config_dir

FILES = sorted(config_dir().rglob("*.yaml"))
LEAVES = [
    (p.parent.relative_to(config_dir()).as_posix(), p.stem)
    for p in FILES
    if p.parent != config_dir()
]
# Bases hold what a group's files share; they miss mandatory values on purpose.
BASES = {("schedule", "base_1x"), ("corr", "base"), ("detector/two_stage", "rank_sort")}


def test_the_walk_finds_the_groups():
    groups = {group for group, _ in LEAVES}
    wanted = "detector backbone loss corr data schedule trainer logger callbacks paths debug"
    assert set(wanted.split()) <= groups


# Composing takes a third of a second, so one composition tries a choice of each of these groups.
TOGETHER = (
    "backbone",
    "corr",
    "data",
    "detector",
    "launcher",
    "logger",
    "loss",
    "metric",
    "schedule",
    "trainer",
)
CHOICES = {
    group: [name for g, name in LEAVES if g == group and (g, name) not in BASES]
    for group in sorted({group for group, _ in LEAVES})
}
COMPOSED = [
    [(group, names[k]) for group, names in CHOICES.items() if group in TOGETHER and k < len(names)]
    for k in range(max(len(CHOICES[group]) for group in TOGETHER))
] + [[leaf] for leaf in LEAVES if leaf not in BASES and leaf[0] not in TOGETHER]


def test_every_choice_is_composed_by_a_test():
    tried = [leaf for leaves in COMPOSED for leaf in leaves]
    assert sorted(tried) == sorted(leaf for leaf in LEAVES if leaf not in BASES)


@pytest.mark.parametrize("leaves", COMPOSED, ids=lambda leaves: " ".join(map("=".join, leaves)))
def test_every_choice_composes_and_names_allowed_objects(leaves):
    overrides = [f"{group}={name}" for group, name in leaves]
    if any(group == "data" or name.endswith("r50_1x") for group, name in leaves):
        overrides.append("data.root=/somewhere")
    if ("backbone", "timm") in leaves:
        overrides.append("backbone.name=resnet18")
    composed = compose_config(overrides)
    # How jobs are started is no choice of a run.
    of_run = {k: v for k, v in leaves if k != "launcher" and not k.startswith("hydra/")}
    assert of_run.items() <= composed.choices.items()
    check_targets({k: v for k, v in composed.config.items() if k != "data"})
    check_targets(composed.config.data)
    assert {"name", "net", "assigner", "criterion", "postprocessor"} <= set(
        composed.config.detector
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(config_dir())))
def test_every_file_says_how_it_is_used(path):
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert comments, "Expected a comment that says what the choice is."
    if (path.parent.name, path.stem) not in BASES:
        used = f"# ...: python run.py {path.parent.name}={path.stem}"
        assert any("python " in line for line in comments), f"Expected a comment such as {used}"


@pytest.mark.parametrize("corr", [name for group, name in LEAVES if group == "corr"])
def test_every_correlation_choice_reaches_the_module(corr):
    if ("corr", corr) in BASES:
        return
    module = build_module(compose_config([f"corr={corr}"]).config)
    assert list(module.loss_callbacks) == ([] if corr == "none" else ["corr"])


def test_files_are_short_and_plain():
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 64, path
        assert not re.search(r"https?://", text), path
        yaml.safe_load(text)
