"""Metrics come by every transport."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TCP, TLS, UNIX, Reader, Rig

ALL = (UNIX, TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH)


@pytest.mark.parametrize("transport", ALL)
def test_metrics_come(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """With the right credentials there are metrics at each tick, and nothing to complain about."""
    reader = read(rig.uri(transport))
    assert reader.ticks(3) == [True] * 3, reader.plugin.log.lines
    assert reader.plugin.finish() == 0
    assert reader.messages() == []
