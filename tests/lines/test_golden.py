"""Golden cases: a dump of `virsh domstats --raw`, a configuration, the expected line protocol.

Each folder under golden/ is a case.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.metrics import parse_dump
from telegraf_execd_libvirt.config.config import Config, load
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.lines.encode import Encoder

CASES = sorted((Path(__file__).parent / "golden").iterdir())

TIMESTAMP = 1_700_000_000_123_456_789
ENVIRONMENT = {"RACK": "r 12", "EMPTY": ""}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dump_gives_expected_lines(case: Path) -> None:
    """A dump and its configuration give the expected line protocol, byte for byte. Each case
    describes the origin of its dump."""
    path = case / "plugin.conf"
    config: Config = load(path, ENVIRONMENT) if path.exists() else Config()
    (hypervisor,) = config.hypervisors
    dump = parse_dump((case / "domstats.txt").read_text("utf-8"))
    domains = [Domain(name, active, stats) for name, active, stats in dump]
    lines = Encoder(hypervisor).encode(domains, TIMESTAMP)
    assert lines.decode() == (case / "expected.lp").read_text("utf-8")
    assert (case / "PROVENANCE.md").read_text("utf-8").strip()
