"""The clock of leases."""

from __future__ import annotations

import time

import pytest

from django_livesim.store import clocks


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux alone has this clock")
def test_a_lease_is_timed_by_a_clock_that_goes_on_while_the_machine_is_asleep():
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert since_boot <= clocks.lease_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)
