"""With how many examples a property is tried."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

QUICK = "quick"
"""The profile of `make unit`."""
SHARE = 8


def share(count: int) -> int:
    """So many of `count` examples as the quick profile tries."""
    return -(-count // SHARE)


def tries(count: int) -> int:
    """`count` examples, or their `share` in the quick profile."""
    return share(count) if settings.get_current_profile_name() == QUICK else count


def register_profiles() -> None:
    """How long an example takes says more of what else the machine does than of the test."""
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("patient", patient)
    settings.register_profile(QUICK, patient, max_examples=share(settings.default.max_examples))
    settings.load_profile("patient")
