"""The metrics of the collection itself, whose names are an API that this file records."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups.health import INCOMPLETE, Health, SourceHealth, control, locked
from telegraf_execd_libvirt.lines.encode import Encoder

RACK = "rack=r1"


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (  # a hypervisor that was read
            Health(True, 5, 1, 2, 77, 66, 3, 1, 2, 4, "12.8.0", "9.0.0").record("qemu:///system"),
            f"libvirt_health,libvirt_uri=qemu:///system,{RACK} up=1i,domains=5i,"
            "domains_incomplete=1i,domains_locked=2i,collect_time_ns=77i,longest_call_time_ns=66i,"
            "calls_hanging=3i,"
            'reconnects=1i,errors=2i,defects=4i,daemon_version="9.0.0",libvirt_version="12.8.0" 1',
        ),
        (  # one that was never reached lacks only what is not known
            Health(False, 0, 0, 0, 1, 0, 0, 0, 0, 0, "12.8.0").record("a:///"),
            f"libvirt_health,libvirt_uri=a:///,{RACK} up=0i,domains=0i,domains_incomplete=0i,"
            "domains_locked=0i,collect_time_ns=1i,longest_call_time_ns=0i,calls_hanging=0i,reconnects=0i,errors=0i,"
            'defects=0i,libvirt_version="12.8.0" 1',
        ),
        (  # a source
            SourceHealth("job", True, 7, 66, 5, 3, 2, 4).record("a:///"),
            f"libvirt_source_health,libvirt_uri=a:///,{RACK},source=job up=1i,records=7i,"
            "collect_time_ns=66i,dropped=2i,errors=5i,hanging=3i,counted=4i 1",
        ),
        (
            Domain("incomplete", True, {"state.state": 1, **INCOMPLETE}),
            f"libvirt_state,domain_name=incomplete,{RACK} state=1i 1\n"
            f"libvirt_domain_health,domain_name=incomplete,{RACK} complete=0i 1",
        ),
        (
            Domain("locked", True, locked(1.5)),
            f"libvirt_domain_health,domain_name=locked,{RACK} "
            "complete=0i,locked=1i,locked_time_ms=1500i 1",
        ),
        (
            Domain("hung", True, {**INCOMPLETE, **control(3, 2, 0)}),
            f"libvirt_domain_health,domain_name=hung,{RACK} "
            "complete=0i,control_state=3i,control_details=2i,control_time_ms=0i 1",
        ),
    ],
    ids=["read", "unreachable", "source", "incomplete", "locked", "hung"],
)
def test_health(record: Domain, lines: str) -> None:
    """Health is written with the option only, beside the other metrics."""
    tags = {"rack": "r1"}
    config = HypervisorConfig(additional_statistics=("health",), tags=tags)
    assert Encoder(config).encode([record], 1).decode() == f"{lines}\n"
    assert b"health" not in Encoder(HypervisorConfig(tags=tags)).encode([record], 1)
