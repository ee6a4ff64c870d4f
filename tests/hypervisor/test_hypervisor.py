"""A hypervisor: what its state means for its sources."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError, Unreachable
from telegraf_execd_libvirt.hypervisor.hypervisor import Hypervisor, Outcome


def test_sources_wait_for_the_hypervisor() -> None:
    """While the hypervisor cannot be read, a source does not connect. It asks again at each tick,
    also if access was refused."""
    hypervisor = Hypervisor(HypervisorConfig(), "a name")
    hypervisor.check_connected()
    hypervisor.outcome = Outcome(trouble=Unreachable("DENIED", "access denied"))
    with pytest.raises(LibvirtError, match="access denied") as raised:
        hypervisor.check_connected()
    assert raised.value.kind is ErrorKind.LOST
