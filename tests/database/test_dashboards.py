"""Each query of each dashboard gives the right numbers, on a real database of its language."""

import pytest

from support.example_fleet import (
    END,
    FLEET,
    ODD_NAME,
    OTHER_ODD_NAME,
    PLAIN_END,
    PLAIN_FLEET,
    RESTARTED,
    STEP,
)
from support.expected_panels import expected, key
from support.grafana import Period, load, panels, variables

PERIOD = Period(END - 900, END)
EXPECTED = expected(FLEET, END, PERIOD.start, STEP)
ALL = {"host": ".*", "domain": ".*", "project": ".*"}
TOLERANCE = 0.02
TOP_TEN = ("CPU", "Steal", "Memory used", "Disk latency", "IOPS", "Network", "Network drops")

BOARDS = [(name, language) for name in ("fleet", "guest") for language in ("influxql", "promql")]
TARGETS = [
    (name, language, panel["title"], target["refId"])
    for name, language in BOARDS
    for panel in panels(load(name, language))
    for target in panel["targets"]
]
PAIRS = [
    (name, title, letter)
    for name, language, title, letter in TARGETS
    if language == "promql" and (name, title) != ("fleet", "Guests")
]
#: Sources that need an option that a plain site does not have.
OTHER_SOURCES = (
    *("storage", "jobs", "Events", "guest filesystems", "Disk errors", "sources", "Failures"),
)


def found(source, name, title, letter, chosen=ALL, period=PERIOD):
    """The answer to one query of a panel, and its panel and target."""
    dashboard = load(name, source.language)
    (panel,) = (panel for panel in panels(dashboard) if panel["title"] == title)
    (target,) = (target for target in panel["targets"] if target["refId"] == letter)
    return source.ask(panel, target, chosen, period), panel, target


def latest(series):
    """The latest value of each series."""
    assert len({key(each.labels) for each in series}) == len(series)
    return {key(each.labels): each.last for each in series}


def columns(series, panel, language, letter):
    """The series of a table by the name of their column, without texts."""
    if language == "promql":
        (organize,) = (t for t in panel["transformations"] if t["id"] == "organize")
        return {organize["options"]["renameByName"][f"Value #{letter}"]: series}
    by_column = {}
    for each in series:
        if not isinstance(each.last, str):
            by_column.setdefault(each.column, []).append(each)
    return by_column


@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_numbers(source, name, language, title, letter):
    """A query with all guests and hosts has the numbers of the fleet's description."""
    series, panel, _ = found(source, name, title, letter)
    assert series
    if (name, title) == ("fleet", "Guests"):
        for column, cells in columns(series, panel, language, letter).items():
            assert latest(cells) == pytest.approx(EXPECTED[name][f"Guests {column}"])
        return
    numbers = EXPECTED[name][f"{title} {letter}"]
    values = latest(series)
    if name == "fleet" and title in TOP_TEN:
        best = sorted(numbers.values(), reverse=True)[:10]
        assert sorted(values.values(), reverse=True) == pytest.approx(best, rel=TOLERANCE)
        numbers = {guest: numbers[guest] for guest in values}
    assert values == pytest.approx(numbers, rel=TOLERANCE)


def test_every_number_is_asked_for():
    """No expected number is left over, in either language."""
    for name, language in BOARDS:
        asked = {f"{t[2]} {t[3]}" for t in TARGETS if t[:2] == (name, language)}
        table = {text for text in EXPECTED[name] if text.partition(" ")[0] == "Guests"}
        assert set(EXPECTED[name]) - asked <= table


@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_every_point(source, name, language, title, letter):
    """The rates of a guest that changes nothing are the same all the time."""
    series, panel, _ = found(source, name, title, letter, {**ALL, "domain": "web-1"})
    if panel["type"] == "timeseries":
        for each in (each for each in series if each.labels.get("domain_name")):
            once_a_minute = title == "Use of guest filesystems" and language == "influxql"
            assert len(each.points) >= (15 if once_a_minute else 29)
            values = list(each.points.values())
            assert values == pytest.approx([values[0]] * len(values), rel=TOLERANCE)


@pytest.mark.parametrize(("name", "title", "letter"), PAIRS)
def test_both_languages_agree(influxql, promql, name, title, letter):
    """The same panel has the same series and values in both languages."""
    one, two = (found(source, name, title, letter)[0] for source in (influxql, promql))
    if name == "fleet" and title in TOP_TEN:
        values = [sorted(latest(series).values()) for series in (one, two)]
        assert values[0] == pytest.approx(values[1], rel=TOLERANCE)
    else:
        assert latest(one) == pytest.approx(latest(two), rel=TOLERANCE)


@pytest.mark.parametrize(("name", "language"), BOARDS)
def test_variables(source, name, language):
    """The variables have all hosts, projects and guests, and those of a chosen host only."""
    guests = {guest.name for guest in FLEET.guests}
    known = {"host": {"kvm1", "kvm2", "kvm3"}, "project": {"shop", "lab"}, "domain": guests}
    for variable in variables(load(name, language)):
        values = source.values(variable, ALL, PERIOD)
        ours = {value for value in values if "example.org" not in value and "rack" not in value}
        assert ours == known[variable["name"]]
    domain = variables(load(name, language))[-1]
    assert source.values(domain, {**ALL, "host": "kvm3"}, PERIOD) == ["lost"]
    both = {guest.name for guest in FLEET.guests if guest.host != "kvm1"}
    assert set(source.values(domain, {**ALL, "host": ["kvm2", "kvm3"]}, PERIOD)) == both


@pytest.mark.parametrize("language", ["influxql", "promql"])
@pytest.mark.parametrize("guest", sorted({guest.name for guest in FLEET.guests}))
def test_one_guest(source, language, guest):
    """A chosen guest is the only one, whatever characters its name has."""
    for title in ("State over time", "Capacity and allocation"):
        series, _, _ = found(source, "guest", title, "A", {**ALL, "domain": guest})
        assert {each.labels["domain_name"] for each in series} == {guest}


@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_some_guests_of_some_hosts(source, name, language, title, letter):
    """Several values of a variable are alternatives, and nothing else is shown."""
    guests, hosts = [ODD_NAME, OTHER_ODD_NAME, "web-1"], ["kvm1", "kvm2"]
    chosen = {"host": hosts, "domain": guests, "project": ".*"}
    series, _, _ = found(source, name, title, letter, chosen)
    assert {each.labels.get("domain_name", guests[0]) for each in series} <= {*guests}
    assert {each.labels.get("host", hosts[0]) for each in series} <= {*hosts}
    if name == "guest" and "rror" not in title:
        assert series


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_project(source, language):
    """Only guests of a chosen project count."""
    series, _, _ = found(source, "fleet", "Guests by state", "A", {**ALL, "project": "shop"})
    assert latest(series) == {"": 4}
    series, _, _ = found(source, "fleet", "CPU", "A", {**ALL, "project": ["lab"]})
    assert set(latest(series)) == {f"kvm{2 - n % 2} worker-{n}" for n in range(4, 9)}


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_counter_that_starts_again(source, language):
    """A restart of a guest makes no rate negative and none too high."""
    series, _, _ = found(source, "guest", "CPU", "A", {**ALL, "domain": "restarted"})
    (points,) = (each.points for each in series)
    assert min(points) < RESTARTED - 120 and max(points) > RESTARTED + 120
    assert all(0 <= value <= 1.5 * (1 + TOLERANCE) for value in points.values())


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_migrated_guest(source, language):
    """A migrated guest runs on one host; the copy that it left is off, and not counted as used."""
    series, _, _ = found(source, "guest", "State", "A", {**ALL, "domain": "mover"})
    assert latest(series) == {"kvm1 mover": 5, "kvm2 mover": 1}
    for title in ("Guests by state", "vCPUs of running guests"):
        series, _, _ = found(source, "fleet", title, "A", {**ALL, "domain": "mover"})
        assert latest(series) == {"": 1 if title == "Guests by state" else 2}
    series, _, _ = found(source, "guest", "CPU", "A", {**ALL, "domain": "mover"})
    for each in series:
        assert all(value == pytest.approx(1.25, TOLERANCE) for value in each.points.values())


@pytest.mark.parametrize("language", ["influxql", "promql"])
@pytest.mark.parametrize("guest", ["gone", "lost"])
def test_guest_that_is_gone(source, language, guest):
    """A guest without a line for two minutes is not counted, on whatever account it is gone."""
    chosen = {**ALL, "domain": guest}
    for title, letter in (("Guests by state", "A"), ("vCPUs of running guests", "A")):
        series, _, _ = found(source, "fleet", title, letter, chosen)
        assert latest(series) in ({}, {"": 0})
    for name, title in (("fleet", "Guests"), ("guest", "State")):
        assert found(source, name, title, "A", chosen)[0] == []


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_guest_without_balloon_data(source, language):
    """What a guest does not report is not shown, neither as 0 nor as 100 %."""
    chosen = {**ALL, "domain": ["no-balloon", "hung"]}
    for title in ("Memory used now", "Memory used over time", "Age of the memory report"):
        assert found(source, "guest", title, "A", chosen)[0] == []


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_idle_disk(source, language):
    """A disk without I/O has no latency, and 0 operations."""
    chosen = {**ALL, "domain": "idle"}
    assert found(source, "guest", "Disk latency", "A", chosen)[0] == []
    assert latest(found(source, "guest", "Disk IOPS", "A", chosen)[0]) == {"kvm2 idle 0 vda": 0}


@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_plain_site(source, name, language, title, letter):
    """Without optional tags and sources, all other panels have their series."""
    period = Period(PLAIN_END - 600, PLAIN_END)
    series, _, _ = found(source, name, title, letter, ALL, period)
    values = {key(each.labels): each.last for each in series if not isinstance(each.last, str)}
    if any(word in title for word in OTHER_SOURCES):
        assert not values
    elif language == "influxql" and title in ("Guests by state", "Hypervisors"):
        assert values in ({}, {"": len(PLAIN_FLEET.guests)}, {"": 1})  # no count of nothing
    else:
        assert values
    if (name, title) == ("fleet", "CPU"):
        host = PLAIN_FLEET.hosts[0].name
        best = {f"{host} vm{number:03}.example.org": number / 100 for number in range(4, 14)}
        assert values == pytest.approx(best, rel=TOLERANCE)
