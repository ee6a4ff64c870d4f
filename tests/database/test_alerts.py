"""The alerts fire for what they are about and for nothing else, in both languages."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.example_fleet import END
from support.expected_panels import key
from support.fleet_lines import SHOWN_SOURCES
from support.grafana import FOLDER, Period, load_script, seconds
from support.missing import leave_out

RULES = FOLDER / "alerts" / "libvirt-rules.yml"
CASES = Path(__file__).parents[1] / "data" / "alerts-test.yml"
ALERTS = {alert.name: alert for alert in load_script("panels.alerts").ALERTS}

# What is wrong with the example fleet.
EXPECTED = {
    "LibvirtHypervisorUnreadable": {"kvm3 qemu+tls://kvm3/system"},
    "LibvirtCollectionStale": {"kvm4 qemu:///system"},
    "LibvirtCollectionSlow": {"kvm2 qemu:///system"},
    "LibvirtCallsHang": {"kvm2 qemu:///system"},
    "LibvirtGuestCrashed": {"kvm2 crashed"},
    "LibvirtGuestPausedByIoError": {"kvm2 full"},
    "LibvirtGuestNotResponding": {"kvm2 hung"},
    "LibvirtGuestSteal": {"kvm1 web-1"},
    "LibvirtGuestMemoryPressure": {"kvm1 tight"},
    "LibvirtGuestDiskLatency": {"kvm1 slow-disk"},
    "LibvirtGuestNetworkDrops": {"kvm1 web-1"},
    "LibvirtSourceFailing": {
        "kvm2 qemu:///system block_job",
        *(f"kvm3 qemu+tls://kvm3/system {source}" for source in SHOWN_SOURCES),
    },
    "LibvirtGuestDiskError": {"kvm2 full"},
    "LibvirtGuestJobFailed": {"kvm2 idle backup"},
    "LibvirtStoragePoolNearlyFull": {"kvm1 default"},
    "LibvirtGuestFilesystemNearlyFull": {"kvm1 web-1 /"},
    "LibvirtGuestRestartsRepeatedly": {"kvm1 looping"},
}


def program(name: str, package: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        leave_out(f"{name} is not installed (Debian's package {package})")
    return path


def expressions() -> "dict[str, str]":
    """The expression of each rule, out of the file that is shipped."""
    text = RULES.read_text("utf-8")
    found = re.findall(r"^ +- alert: (\w+)\n +expr: (\".*\")$", text, re.MULTILINE)
    return {name: json.loads(expression) for name, expression in found}


def test_every_alert_is_tested():
    """Each alert has an expected cause here, and a firing and a silent case in promtool's file."""
    assert set(expressions()) == set(ALERTS) == set(EXPECTED)
    cases = CASES.read_text("utf-8")
    for name in EXPECTED:
        assert f"- name: {name} fires\n" in cases and f"- name: {name} is silent\n" in cases


@pytest.mark.parametrize("name", EXPECTED)
def test_expression_on_victoria_metrics(promql, name):
    """The expression has exactly the series that are at fault."""
    found = promql.database.instant(expressions()[name], END)
    assert {key(series["metric"]) for series in found} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_condition_on_influxdb(influxql, name):
    """Grafana's condition on InfluxQL holds for exactly the series that are at fault."""
    alert = ALERTS[name]
    series = influxql.select(alert.influxql, Period(END - seconds(alert.period), END))
    operator, limit = alert.condition.split()
    firing = {
        key(each.labels)
        for each in series
        if (each.last > float(limit) if operator == ">" else each.last < float(limit))
    }
    assert firing == EXPECTED[name]


def test_promtool_accepts_the_rules():
    """Prometheus finds no error in the rules."""
    check = [program("promtool", "prometheus"), "check", "rules", str(RULES)]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (result.returncode, f"{len(EXPECTED)} rules found" in result.stdout) == (0, True), result


def test_promtool_runs_the_cases():
    """Each alert fires after its time, and stays silent where nothing is wrong."""
    test = [program("promtool", "prometheus"), "test", "rules", str(CASES)]
    result = subprocess.run(test, capture_output=True, text=True, check=False)
    assert (result.returncode, "SUCCESS" in result.stdout) == (0, True), result


def test_vmalert_accepts_the_rules():
    """vmalert finds no error in the rules."""
    check = [program("vmalert", "victoria-metrics"), "-dryRun", f"-rule={RULES}"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result
