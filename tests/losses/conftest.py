"""Random input does not depend on which tests ran before."""

import pytest

from tests.losses.random_input import GENERATOR


def pytest_runtest_setup(item: pytest.Item) -> None:
    GENERATOR.manual_seed(0)
