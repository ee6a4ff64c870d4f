"""What is known of a hypervisor: the times at which its domains started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.hypervisor import plan

LIFECYCLE, METADATA = 0, 23
DEFINED, STARTED, STOPPED, WAKEUP = 0, 2, 5, 4
RUNS = "<domain id='3'><name>a</name><uuid>u</uuid></domain>"


def started(facts: Facts, xml: str = RUNS) -> object:
    """The start of a domain with this XML, as the summary has it."""
    facts.forget("u")
    identity = facts.identities.get("u", 3, lambda: xml)
    return None if identity is None else identity.info.get("started_at")


def test_the_start_of_a_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the time of the daemon's file, or else that of the event, until the domain stops."""
    config = HypervisorConfig(
        libvirt_uri=f"qemu:///system?socket={tmp_path}/s", additional_statistics=("domain",)
    )
    facts = plan.facts_of(config)
    assert started(facts) is None
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    facts.changed(LIFECYCLE, "u", (STARTED, 0))
    for kind, details in (
        (LIFECYCLE, (STARTED, WAKEUP)),
        (LIFECYCLE, (DEFINED, STOPPED)),
        (METADATA, (STOPPED, "x")),
    ):
        monkeypatch.setattr("time.time", lambda: 1_900_000_000.5)
        facts.changed(kind, "u", details)
        assert started(facts) == 1_800_000_000
    assert started(facts, RUNS.replace("id='3'", "")) is None
    (tmp_path / "qemu").mkdir()
    file = tmp_path / "qemu" / "a.pid"
    file.touch()
    os.utime(file, (0, 1_700_000_000))
    assert started(facts) == 1_700_000_000
    file.unlink()
    facts.changed(LIFECYCLE, "u", (STOPPED, 0))
    assert started(facts) is None
    without = HypervisorConfig(libvirt_uri=config.libvirt_uri)
    file.touch()
    assert started(plan.facts_of(without)) is None
