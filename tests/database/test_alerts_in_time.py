"""Alerts at moments and for guests that are easy to get wrong, in both languages."""

import pytest

from support.example_fleet import END
from support.expected_panels import key
from support.fleet import Disk, Fleet, Guest, Host
from support.fleet_lines import lines
from support.grafana import Period, load_script, seconds

pytestmark = pytest.mark.parametrize("filled", ["database", "victoria_metrics"], indirect=True)

ALERTS = {alert.name: alert for alert in load_script("panels.alerts").ALERTS}

#: Far from the times of other fleets in the same VictoriaMetrics.
NOW = END + 60 * 86_400


def firing(source, name, now):
    """The series for which an alert's condition holds."""
    alert = ALERTS[name]
    if source.language == "promql":
        return {key(each["metric"]) for each in source.database.instant(alert.promql, now)}
    length = seconds(alert.period)
    operator, limit = alert.condition.split()
    holds = {">": lambda value: value > float(limit), "<": lambda value: value < float(limit)}
    series = source.select(alert.influxql, Period(now - length, now))
    return {key(each.labels) for each in series if holds[operator](each.last)}


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
