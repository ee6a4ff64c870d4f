"""Golden cases: a dump of `virsh domstats --raw`, a configuration, the expected line protocol.

Each folder under golden/ is a case; each under golden_errors/ is a wrong configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.dump import parse_dump
from telegraf_execd_libvirt.config import Config, ConfigError, load
from telegraf_execd_libvirt.domain import Domain
from telegraf_execd_libvirt.encode import Encoder

HERE = Path(__file__).parent
CASES = sorted((HERE / "golden").iterdir())
ERROR_CASES = sorted((HERE / "golden_errors").iterdir())

TIMESTAMP = 1_700_000_000_123_456_789
ENVIRONMENT = {"RACK": "r 12", "EMPTY": ""}


def lines_of(case: Path) -> str:
    """The output for a case's dump and configuration."""
    path = case / "plugin.conf"
    config: Config = load(path, ENVIRONMENT) if path.exists() else Config()
    (hypervisor,) = config.hypervisors
    dump = parse_dump((case / "domstats.txt").read_text("utf-8"))
    domains = [Domain(name, active, stats) for name, active, stats in dump]
    return Encoder(hypervisor).encode(domains, TIMESTAMP).decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dump_gives_expected_lines(case: Path) -> None:
    """A dump and its configuration give the expected line protocol, byte for byte."""
    assert lines_of(case) == (case / "expected.lp").read_text("utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_has_provenance(case: Path) -> None:
    """Each case describes the origin of its dump."""
    assert (case / "PROVENANCE.md").read_text("utf-8").strip()


@pytest.mark.parametrize("case", ERROR_CASES, ids=lambda case: case.name)
def test_wrong_configuration_gives_expected_errors(case: Path, monkeypatch: Any) -> None:
    """A wrong configuration gives all expected errors at once."""
    monkeypatch.chdir(case)
    with pytest.raises(ConfigError) as caught:
        load(Path("plugin.conf"), ENVIRONMENT)
    assert "\n".join(caught.value.problems) + "\n" == (case / "expected.txt").read_text("utf-8")
