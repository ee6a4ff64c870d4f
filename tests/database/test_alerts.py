"""The alerts fire for what they are about and for nothing else, in both languages."""

from pathlib import Path

import pytest

from support.documents import load_script
from support.example_fleet import END
from support.expected_panels import key
from support.fleet import Disk, Fleet, Guest, Host
from support.fleet_lines import SHOWN_SOURCES, lines
from support.grafana import FOLDER, LANGUAGES, Period, seconds
from support.missing import needed
from support.process import finish

RULES = FOLDER / "alerts" / "libvirt-rules.yml"
CASES = Path(__file__).parents[1] / "data" / "alerts-test.yml"
ALERTS = {alert.name: alert for alert in load_script("panels.alerts").ALERTS}

# What is wrong with the fleet of special cases.
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

#: Far from the times of other fleets in the same VictoriaMetrics.
NOW = END + 60 * 86_400

in_both = pytest.mark.parametrize("filled", ["database", "victoria_metrics"], indirect=True)


def firing(source, name, now):
    """The series for which an alert's condition holds."""
    alert = ALERTS[name]
    if source.language == "promql":
        return {key(each["metric"]) for each in source.database.instant(alert.promql, now)}
    operator, limit = alert.condition.split()
    holds = {">": lambda value: value > float(limit), "<": lambda value: value < float(limit)}
    series = source.select(alert.influxql, Period(now - seconds(alert.period), now))
    return {key(each.labels) for each in series if holds[operator](each.last)}


def test_every_alert_is_tested():
    """Each alert has an expected cause here, and a firing and a silent case in promtool's file."""
    assert set(ALERTS) == set(EXPECTED)
    cases = CASES.read_text("utf-8")
    for name in EXPECTED:
        assert f"- name: {name} fires\n" in cases and f"- name: {name} is silent\n" in cases


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", EXPECTED)
def test_special_cases(source, language, name):
    """The condition holds for exactly the series that are at fault."""
    assert firing(source, name, END) == EXPECTED[name]


@in_both
@pytest.mark.parametrize(("step", "age"), [(60, 50), (60, 1), (10, 9)])
def test_a_host_that_writes_is_not_stale(filled, step, age):
    """Evaluated each minute, also just after an interval of 2 minutes has begun."""
    last = NOW + 600 - age
    fleet = Fleet(hosts=(Host(f"steady-{step}-{age}"), Host("ended", last=NOW - 900)), guests=())
    source = filled(lines(fleet, last - (5400 // step) * step, last, step))
    for now in range(NOW, NOW + 601, 60):
        for moment in (0, 1, 59 if now < NOW + 600 else 0):
            found = firing(source, "LibvirtCollectionStale", now + moment)
            assert found == {"ended qemu:///system"}, now + moment - NOW


@in_both
def test_latency_of_slow_requests_on_several_disks(filled):
    """The requests of all disks together are enough, and no disk of its own has as many."""
    slow = {"writes": 0, "read_ns": 500 * 10**6}
    guests = (
        Guest("three", "disks", disks=[Disk(f"vd{n}", reads=0.8, **slow) for n in "abc"]),
        Guest("one", "disks", disks=[Disk(reads=0.8, **slow)]),
        Guest("two", "disks", disks=[Disk(reads=0.3, **slow), Disk("vdb", reads=0.5, **slow)]),
    )
    fleet = Fleet(hosts=(Host("disks"),), guests=guests)
    source = filled(lines(fleet, NOW - 7200 - 900, NOW - 7200, 10))
    assert firing(source, "LibvirtGuestDiskLatency", NOW - 7200) == {"disks three"}


@pytest.mark.parametrize(
    ("program", "package", "arguments", "said"),
    [
        ("promtool", "prometheus", ("check", "rules", RULES), f"{len(EXPECTED)} rules found"),
        ("promtool", "prometheus", ("test", "rules", CASES), "SUCCESS"),
        ("vmalert", "victoria-metrics", ("-dryRun", f"-rule={RULES}"), ""),
    ],
)
def test_the_rules_file(program, package, arguments, said):
    """Prometheus and vmalert find no error in the rules. Each alert fires after its time, and stays
    silent where nothing is wrong."""
    assert said in finish(needed(program, package), *arguments)
