"""The record of a domain."""

from __future__ import annotations

from telegraf_execd_libvirt.domain.record import STATE_NAMES


def test_order_of_the_names_of_states() -> None:
    """The names are those of virDomainState, in the order of its numbers."""
    assert (
        *("nostate", "running", "blocked", "paused"),
        *("shutdown", "shutoff", "crashed", "pmsuspended"),
    ) == STATE_NAMES
