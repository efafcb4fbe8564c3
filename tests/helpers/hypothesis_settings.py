"""Settings of the property tests: a busy machine is no reason to fail."""

from hypothesis import HealthCheck, settings

UNHURRIED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
