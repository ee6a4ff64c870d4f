"""The numbers of guests and hosts that change within the range, in all databases."""

from dataclasses import replace
from itertools import count

import pytest

from support.example_fleet import END
from support.expected_panels import latest
from support.fleet import Disk, Fleet, Guest, Host, Nic
from support.fleet_lines import lines
from support.grafana import ALL, Period, load, panels

pytestmark = pytest.mark.parametrize(
    "filled", ["database", "victoria_metrics", "prometheus"], indirect=True
)

#: Times far from each other and from those of other fleets in the same VictoriaMetrics.
MOMENTS = (END + day * 86_400 for day in count(90, 2))


@pytest.fixture
def now() -> int:
    """A time of the test's own."""
    return next(MOMENTS)


def shown(source, title, period, letter="A"):
    """The answer to a query of a panel of the fleet."""
    (panel,) = (p for p in panels(load("fleet", source.language)) if p["title"] == title)
    (target,) = (t for t in panel["targets"] if t["refId"] == letter)
    return source.ask(panel, target, ALL, period)


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
        Guest("locked", "kvm1", vcpus=1, project="shop", locked=True),
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
        ("Not responding", "A"): 2,
        ("Hypervisors", "A"): 1,
        ("vCPUs of running guests", "A"): 4,
        ("Guests over time", "A"): 2,
        ("vCPUs", "A"): 5,
        ("vCPUs", "C"): 8,
        ("Memory", "C"): 64 << 20,
        ("Failing sources", "A"): 1,
    }
    period = Period(now - 600, now)
    found = {at: [*latest(shown(source, at[0], period, at[1])).values()] for at in expected}
    assert found == {at: [value] for at, value in expected.items()}


#: What a guest has, and what the tables show of it.
BUSY = Guest(
    "web",
    "kvm1",
    user=0.3,
    system=0.1,
    steal=0.2,
    memory=4 << 20,
    used=1 << 20,
    disks=(Disk(reads=50, read_ns=4 * 10**6), Disk("vdb", writes=10, write_ns=10**7)),
    nics=(Nic(rx=5, rx_drop=3), Nic(tx=4, tx_drop=0.5)),
)
TOP_TEN = {
    "CPU": 0.4,
    "Steal": 20,
    "Memory used": 25,
    "Disk latency": 5,
    "IOPS": 60,
    "Network": 9000,
    "Network drops": 3.5,
}


def assert_top_ten(source, period, tolerance, *names):
    """Each table has these guests, all with the same numbers."""
    for title, number in TOP_TEN.items():
        right = {f"kvm1 {name}": number for name in names}
        assert latest(shown(source, title, period)) == pytest.approx(right, rel=tolerance), title


def test_top_ten_with_guests_of_a_part_of_the_range(filled, now):
    """A guest that is not there all the time has the mean of its own time."""
    guests = (
        replace(BUSY, name="always"),
        replace(BUSY, name="new", first=now - 900),
        replace(BUSY, name="ended", last=now - 2700),
    )
    source = filled(lines(Fleet((Host("kvm1"),), guests), now - 3600, now, 10))
    # Prometheus is too low where a series has just begun or ended.
    assert_top_ten(source, Period(now - 3600, now), 0.1, "always", "new", "ended")


def test_top_ten_with_a_new_database(filled, now):
    """Where nothing is older than a part of the range, the numbers are those of this part."""
    source = filled(lines(Fleet((Host("kvm1"),), [BUSY]), now - 900, now, 10))
    assert_top_ten(source, Period(now - 10_800, now), 0.1, "web")


def test_top_ten_with_a_changed_tag(filled, now):
    """A guest whose project changes in the middle of the range does not count twice."""
    before, after = (
        Fleet((Host("kvm1"),), [replace(BUSY, project=project)]) for project in ("shop", "lab")
    )
    middle = now - 1800
    source = filled(
        [*lines(before, now - 3600, middle - 10, 10), *lines(after, middle, now, 10)],
    )
    period = Period(now - 3600, now)
    assert_top_ten(source, period, 0.02, "web")
    for title, right in (("CPU of guests by host", 0.4), ("Disk throughput by host", 50 * 4096)):
        (series,) = shown(source, title, period)
        assert max(series.points.values()) == pytest.approx(right, rel=0.02)


def test_top_ten_with_a_replaced_disk(filled, now):
    """A disk that replaces another in the middle of the range does not add to its past."""
    before = Guest("db", "kvm1", disks=[Disk(reads=1), Disk("vdb", reads=100)], last=now - 1810)
    after = Guest("db", "kvm1", disks=[Disk(reads=1), Disk("vdc", reads=100)], first=now - 1800)
    fleet = Fleet((Host("kvm1"),), (before, after))
    source = filled(lines(fleet, now - 3600, now, 10))
    values = latest(shown(source, "IOPS", Period(now - 3600, now)))
    # In PromQL the old disk has a rate until the interval of the rates has passed.
    tolerance = 0.02 if source.language == "influxql" else 0.05
    assert values == pytest.approx({"kvm1 db": 101}, rel=tolerance)


@pytest.mark.parametrize("step", [10, 15, 30, 60])
def test_rates_of_an_interval_that_has_begun(filled, now, step):
    """The last point is right at any moment, for each time between lines that fits the steps."""
    source = filled(lines(Fleet((Host("kvm1"),), [BUSY]), now - 1200, now + 60, step))
    for end in range(now, now + 60, 10):
        for title, right in (("CPU of guests by host", 0.4), ("Disk throughput by host", 204_800)):
            (series,) = shown(source, title, Period(end - 600, end))
            points = [value for _, value in sorted(series.points.items())]
            assert points[1:] == pytest.approx([right] * len(points[1:]), rel=0.02)
