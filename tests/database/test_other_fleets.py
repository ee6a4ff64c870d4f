"""The queries give the right numbers for fleets that no query was written for."""

import uuid
from contextlib import ExitStack
from dataclasses import replace

import pytest

from support.databases import InfluxDB, VictoriaMetrics, start_victoria_metrics
from support.example_fleet import END
from support.expected_panels import expected, key
from support.fleet_lines import lines
from support.grafana import Period, Source, load, panels, variables
from support.missing import Missing, leave_out
from support.process import Workspace
from support.random_fleet import LENGTH, STEP, random_fleet

PERIOD = Period(END - 900, END)
ALL = {"host": ".*", "domain": ".*", "project": ".*"}
TOLERANCE = 0.02
TOP_TEN = ("CPU", "Steal", "Memory used", "Disk latency", "IOPS", "Network", "Network drops")

FLEETS = {
    "everything": random_fleet(11, END, hosts=4, guests=60, projects=3, sources=True),
    "no projects": random_fleet(23, END, hosts=3, guests=30, sources=True),
    "one host": random_fleet(37, END, hosts=1, guests=4),
    "many hosts": random_fleet(41, END, hosts=12, guests=50, projects=1),
}
NUMBERS = {name: expected(fleet, END, PERIOD.start, STEP) for name, fleet in FLEETS.items()}
LANGUAGES = ("influxql", "promql")
BOARDS = {
    (name, language): load(name, language) for name in ("fleet", "guest") for language in LANGUAGES
}
TARGETS = [
    (*at, panel["title"], target["refId"])
    for at, board in BOARDS.items()
    for panel in panels(board)
    for target in panel["targets"]
]


@pytest.fixture(scope="module")
def sources(influxdb_address):
    """A function that gives a database of a language with the lines of a fleet."""
    filled = {}
    written = {name: [*lines(each, END - LENGTH, END, STEP)] for name, each in FLEETS.items()}
    with ExitStack() as stack:

        def of(fleet, language):
            if (fleet, language) not in filled:
                database = (
                    InfluxDB(influxdb_address, uuid.uuid4().hex)
                    if language == "influxql"
                    else VictoriaMetrics(started(stack))
                )
                database.fill(written[fleet])
                filled[fleet, language] = Source(database)
            return filled[fleet, language]

        yield of


def started(stack):
    """The address of a VictoriaMetrics of its own, so that variables have only this fleet."""
    workspace = stack.enter_context(Workspace("victoria-metrics"))
    try:
        return start_victoria_metrics(workspace)
    except Missing as missing:
        return leave_out(str(missing))


def asked(source, name, title, letter, chosen):
    """The latest values of a query by the name of their panel and letter or column."""
    (panel,) = (p for p in panels(BOARDS[name, source.language]) if p["title"] == title)
    (target,) = (t for t in panel["targets"] if t["refId"] == letter)
    column = letter
    if (name, title) == ("fleet", "Guests") and source.language == "promql":
        (organize,) = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
        column = organize["renameByName"][f"Value #{letter}"]
    found = {}
    for each in source.ask(panel, target, chosen, PERIOD):
        if not isinstance(each.last, str):
            at = f"{title} {each.column if title == 'Guests' and each.column else column}"
            values = found.setdefault(at, {})
            assert key(each.labels) not in values
            values[key(each.labels)] = each.last
    return found or {f"{title} {column}": {}}


def check(source, numbers, name, title, letter, chosen):
    """Compare the answer to a query with the numbers of a fleet; return whether there were any."""
    seen = False
    for at, values in asked(source, name, title, letter, chosen).items():
        right = numbers[name].get(at, {})
        if name == "fleet" and title in TOP_TEN:
            best = sorted(right.values(), reverse=True)[:10]
            assert sorted(values.values(), reverse=True) == pytest.approx(best, rel=TOLERANCE)
            right = {guest: right[guest] for guest in values}
        if right == {"": 0}:  # InfluxQL has no count of nothing
            assert values in ({}, {"": 0})
        else:
            assert values == pytest.approx(right, rel=TOLERANCE)
        seen |= bool(values)
    return seen


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_numbers(sources, fleet, name, language, title, letter):
    """All guests and hosts."""
    check(sources(fleet, language), NUMBERS[fleet], name, title, letter, ALL)


@pytest.mark.parametrize(("name", "language", "title", "letter"), TARGETS)
def test_no_query_is_always_empty(sources, name, language, title, letter):
    """A fleet of everything has a value for each query."""
    source = sources("everything", language)
    assert check(source, NUMBERS["everything"], name, title, letter, ALL)


def of_guests(name, language):
    """The queries of a dashboard that read only chosen guests."""
    return [
        (panel["title"], target["refId"])
        for panel in panels(BOARDS[name, language])
        for target in panel["targets"]
        if "${domain:regex}" in target["query" if language == "influxql" else "expr"]
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_chosen_guests(sources, fleet, language):
    """One guest of one host, and several guests of several hosts, whatever their names are."""
    every = FLEETS[fleet]
    longest = sorted(every.guests, key=lambda guest: len(guest.name))
    for guests in (longest[-1:], longest[-2:-1], longest[-5::2]):
        hosts = sorted({guest.host for guest in guests})
        names = sorted({guest.name for guest in guests})
        one = len(guests) == 1
        chosen = {"host": hosts[0] if one else hosts, "domain": names, "project": ".*"}
        kept = [g for g in every.guests if g.host in hosts and g.name in names]
        numbers = expected(replace(every, guests=kept), END, PERIOD.start, STEP)
        for name in ("fleet", "guest"):
            for title, letter in of_guests(name, language):
                check(sources(fleet, language), numbers, name, title, letter, chosen)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fleet", ["everything", "many hosts"])
def test_chosen_project(sources, fleet, language):
    """The guests of one project."""
    every = FLEETS[fleet]
    project = max({guest.project for guest in every.guests}, key=len)
    kept = [guest for guest in every.guests if guest.project == project]
    numbers = expected(replace(every, guests=kept), END, PERIOD.start, STEP)
    for title, letter in of_guests("fleet", language):
        chosen = {**ALL, "project": [project]}
        check(sources(fleet, language), numbers, "fleet", title, letter, chosen)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_variables(sources, fleet, language):
    """The variables have the values of the whole fleet, and those of each host."""
    source, every = sources(fleet, language), FLEETS[fleet]
    for host in (None, *(host.name for host in every.hosts)):
        guests = [guest for guest in every.guests if host in (None, guest.host)]
        known = {
            "host": {guest.host for guest in every.guests},
            "project": {guest.project for guest in guests} - {""},
            "domain": {guest.name for guest in guests},
        }
        chosen = ALL if host is None else {**ALL, "host": [host]}
        for name in ("fleet", "guest"):
            for variable in variables(BOARDS[name, language]):
                assert set(source.values(variable, chosen, PERIOD)) == known[variable["name"]]
