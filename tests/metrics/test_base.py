import json
import math

import numpy as np

from corrlight.metrics.base import MetricResult, mean_or_none, none_if_nan


def test_the_mean_leaves_out_what_is_undefined():
    assert mean_or_none(np.array([0.25, np.nan, 0.75])) == 0.5
    assert mean_or_none(np.array([[0.0, 1.0], [np.nan, np.nan]])) == 0.5
    assert mean_or_none(np.array([np.nan, np.nan])) is None
    assert mean_or_none(np.zeros(0)) is None


def test_columns_are_plain_and_undefined_is_null():
    column = none_if_nan(np.array([0.5, np.nan, 0.0], np.float32))
    assert column == [0.5, None, 0.0]
    assert json.dumps(column) == "[0.5, null, 0.0]"
    assert not any(isinstance(v, float) and math.isnan(v) for v in column)


def test_a_result_needs_no_columns():
    assert dict(MetricResult(values={"a": 1}).per_class) == {}
