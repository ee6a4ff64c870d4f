"""The numbers of guests and hosts that change within the range, in both languages."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from support.example_fleet import END
from support.expected_panels import key
from support.fleet import Fleet, Guest, Host
from support.fleet_lines import lines
from support.grafana import Period, Source, load, panels

ALL = {"host": ".*", "domain": ".*", "project": ".*"}

#: Times far from each other and from those of other fleets in the same VictoriaMetrics.
MOMENTS = (END + day * 86_400 for day in count(90, 2))


@pytest.fixture
def now() -> int:
    """A time of the test's own."""
    return next(MOMENTS)


@pytest.fixture(params=["influxql", "promql"])
def filled(request):
    """A function that gives a data source with these lines."""

    def fill(written: "Iterator[str]") -> Source:
        fixture = "database" if request.param == "influxql" else "victoria_metrics"
        database = request.getfixturevalue(fixture)
        database.fill(written)
        return Source(database)

    return fill


def shown(source, title, period, letter="A"):
    """The answer to a query of a panel of the fleet."""
    (panel,) = (p for p in panels(load("fleet", source.language)) if p["title"] == title)
    (target,) = (t for t in panel["targets"] if t["refId"] == letter)
    return source.ask(panel, target, ALL, period)


def latest(source, title, period, letter="A"):
    """The latest values by their labels."""
    return {key(each.labels): each.last for each in shown(source, title, period, letter)}


def test_guests_of_hosts_that_write_at_different_times(filled, now):
    """Each point has the guests of all hosts, though not all write in each interval of a graph."""
    early, late = (
        Fleet((Host(name),), [Guest(f"{name}-{n}", name) for n in range(guests)])
        for name, guests in (("early", 3), ("late", 5))
    )
    source = filled([*lines(early, now - 900, now, 60), *lines(late, now - 930, now, 60)])
    (series,) = shown(source, "Guests over time", Period(now - 900, now))
    points = [value for _, value in sorted(series.points.items())]
    assert len(points) >= 7
    assert points[1:-1] == [8] * len(points[1:-1])


def test_a_changed_tag_counts_once(filled, now):
    """A minute after a tag of the guests or of the host has changed, each counts as one."""
    guests = (
        Guest("web", "kvm1", vcpus=3, project="shop"),
        Guest("idle", "kvm1", vcpus=1, project="shop", state=7),
        Guest("hung", "kvm1", vcpus=1, project="shop", complete=False),
    )
    before = Fleet((Host("kvm1", tags={"rack": "1"}, failing=("job",)),), guests, ("job",))
    after = replace(
        before,
        hosts=(replace(before.hosts[0], tags={"rack": "2"}),),
        guests=[replace(guest, project="lab") for guest in guests],
    )
    source = filled(
        [*lines(before, now - 600, now - 70, 10), *lines(after, now - 60, now, 10)],
    )
    expected = {
        ("Guests by state", "A"): 2,
        ("Guests by state", "E"): 1,
        ("Not responding", "A"): 1,
        ("Hypervisors", "A"): 1,
        ("vCPUs of running guests", "A"): 4,
        ("Guests over time", "A"): 2,
        ("vCPUs", "A"): 5,
        ("vCPUs", "C"): 8,
        ("Memory", "C"): 64 << 20,
        ("Failing sources", "A"): 1,
    }
    period = Period(now - 600, now)
    found = {at: [*latest(source, at[0], period, at[1]).values()] for at in expected}
    assert found == {at: [value] for at, value in expected.items()}
