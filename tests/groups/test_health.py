"""The metrics of the collection itself, whose names are an API that this file records."""

from __future__ import annotations

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups.health import INCOMPLETE, LOCKED, Health
from telegraf_execd_libvirt.lines.encode import Encoder

ENCODER = Encoder(HypervisorConfig(additional_statistics=("health",), tags={"rack": "r1"}))


def test_health_of_a_hypervisor_that_is_read() -> None:
    """A hypervisor that was read has all fields, and its URI as a tag."""
    record = Health(True, 5, 1, 2, 77, 3, 1, 2, 4, "12.8.0", "9.0.0").record("qemu:///system")
    assert ENCODER.encode([record], 1).decode() == (
        "libvirt_health,libvirt_uri=qemu:///system,rack=r1 up=1i,domains=5i,"
        "domains_incomplete=1i,domains_locked=2i,collect_time_ns=77i,calls_hanging=3i,"
        'reconnects=1i,errors=2i,defects=4i,daemon_version="9.0.0",libvirt_version="12.8.0" 1\n'
    )


def test_health_of_a_hypervisor_that_was_never_reached() -> None:
    """A hypervisor that was never reached lacks only the unknown fields."""
    record = Health(False, 0, 0, 0, 1, 0, 0, 0, 0, "12.8.0").record("a:///")
    assert ENCODER.encode([record], 1).decode() == (
        "libvirt_health,libvirt_uri=a:///,rack=r1 up=0i,domains=0i,domains_incomplete=0i,"
        "domains_locked=0i,collect_time_ns=1i,calls_hanging=0i,reconnects=0i,errors=0i,defects=0i,"
        'libvirt_version="12.8.0" 1\n'
    )


def test_health_of_an_incomplete_domain() -> None:
    """An incomplete domain has a health metric beside its other metrics."""
    domain = Domain("d", True, {"state.state": 1, **INCOMPLETE})
    assert ENCODER.encode([domain], 1).decode() == (
        "libvirt_state,domain_name=d,rack=r1 state=1i 1\n"
        "libvirt_domain_health,domain_name=d,rack=r1 complete=0i 1\n"
    )


def test_health_of_a_locked_domain() -> None:
    """A locked domain has a health metric only."""
    assert ENCODER.encode([Domain("d", True, {**LOCKED})], 1).decode() == (
        "libvirt_domain_health,domain_name=d,rack=r1 complete=0i,locked=1i 1\n"
    )


def test_no_health_unless_wanted() -> None:
    """Without the option no health metric is written."""
    encoder = Encoder(HypervisorConfig())
    assert encoder.encode([Domain("d", True, INCOMPLETE)], 1) == b""
