"""Every metric that ships has a YAML, plain results and says its direction by names that exist."""

import json

import pytest
from omegaconf import OmegaConf

import corrlight.metrics as metrics
from corrlight.config.compose import config_dir
from tests.metrics.coco_oracle import example

EVALUATION = metrics.Evaluation.from_coco(*example())


def leaves():
    for file in sorted((config_dir() / "metric").glob("*.yaml")):
        for node in OmegaConf.load(file).values():
            if OmegaConf.is_dict(node):
                yield pytest.param(OmegaConf.to_container(node), id=file.stem)


@pytest.mark.parametrize("node", list(leaves()))
def test_every_yaml_builds_a_metric_with_plain_results(node):
    package, name = node.pop("_target_").rsplit(".", 1)
    assert package == "corrlight.metrics"
    metric = getattr(metrics, name)(**node)
    result = metric(EVALUATION)
    json.dumps([dict(result.values), {k: list(v) for k, v in result.per_class.items()}])
    assert {len(column) for column in result.per_class.values()} <= {3}
    assert result.values
    assert set(metric.smaller_is_better) <= set(result.values)


def test_every_metric_has_a_yaml():
    names = {param.values[0]["_target_"].rsplit(".", 1)[1] for param in leaves()}
    classes = {name: getattr(metrics, name) for name in metrics.__all__}
    written = {n for n, c in classes.items() if "__call__" in vars(c) and c is not metrics.Metric}
    assert len(written) >= 6
    assert names == written


def test_only_the_image_level_correlation_reads_positives():
    classes = [getattr(metrics, n) for n in metrics.__all__]
    of_positives = [c for c in classes if getattr(c, "of_positives", False)]
    assert of_positives == [metrics.ImageCorrelation]
