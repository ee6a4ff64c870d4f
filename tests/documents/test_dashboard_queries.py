"""Events and states in the queries of dashboards, alerts and recipes are those of the plugin.

That measurements, tags and fields are, real databases show by their answers: see tests/database.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from support.documents import load_script, recipes
from support.grafana import LANGUAGES, load, panels, query_of, variables
from telegraf_execd_libvirt.domain.record import STATE_NAMES
from telegraf_execd_libvirt.sources import event as source

ALERTS = load_script("panels.alerts").ALERTS
STATES = load_script("panels.model").STATES


class Query(NamedTuple):
    """A query, and where it is."""

    at: str
    text: str


def queries(language: str) -> list[Query]:
    """All queries in a language: of panels, variables, alerts and docs/recipes.md."""
    found = []
    for name in ("fleet", "guest"):
        dashboard = load(name, language)
        for panel in panels(dashboard):
            for target in panel["targets"]:
                at = f"{name}: {panel['title']} {target['refId']}"
                found.append(Query(at, query_of(target)))
        found += [Query(f"{name}: ${v['name']}", v["query"]) for v in variables(dashboard)]
    found += [Query(alert.name, getattr(alert, language)) for alert in ALERTS]
    return found + [Query(at, " ".join(asked[language].split())) for at, asked in recipes().items()]


def compared(text: str, language: str) -> dict[str, set[str]]:
    """The values with which a query compares tags, without those of variables."""
    found: dict[str, set[str]] = {}
    if language == "promql":
        pairs = re.findall(r'(\w+)=~?"([^"]*)"', text)
    else:
        pairs = re.findall(r"\"(\w+)\" = '([^']*)'", text)
        pairs += re.findall(r'"(\w+)" =~ /\^\(?([^)/$]*)\)?\$/', text)
    for name, value in pairs:
        found.setdefault(name, set()).update(value.split("|"))
    return {name: values - {""} for name, values in found.items()}


def events() -> set[tuple[str, str]]:
    """All events and details that the source event can name."""
    # By the numbers of virDomainEventID: lifecycle, I/O error, completed job, block threshold,
    # life cycle of a channel.
    lists: dict[int, list[tuple[object, ...]]] = {
        0: [(event, detail) for event in range(20) for detail in range(20)],
        6: [("", "", action, "") for action in range(20)],
        21: [({"operation": number},) for number in range(20)],
        24: [("vda",)],
        29: [("channel", state) for state in range(20)],
    }
    others = [(number,) for number in range(20)]
    found = {
        name(*arguments)
        for kind, name in source.NAMES.items()
        for arguments in lists.get(kind, others)
    }
    return {(event, detail) for event, detail in found if not re.search(r"\d", event + detail)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_of_tags(language: str) -> None:
    """A query asks only for events that the plugin counts, and for details of these events. No
    other tag is compared with a value that this test does not know."""
    known = events()
    states = {"blocked", "idle", "lock", "running", "sleep", "stop", "wait", "zombie"}  # gopsutil's
    seen = set()
    for query in queries(language):
        values = compared(query.text, language)
        assert values.pop("status", set()) <= states
        for name in ("__name__", "address"):  # any
            values.pop(name, None)
        assert values.keys() <= {"event", "detail"} or not any(values.values()), query.at
        if values.get("event"):
            seen.add(query.at)
            assert values["event"] <= {event for event, _ in known}, query.at
            details = {detail for event, detail in known if event in values["event"]}
            assert values.get("detail", set()) <= details, query.at
    assert "fleet: Failures of guests A" in seen


def test_details_belong_to_their_event() -> None:
    """In PromQL a detail is asked for beside its event: such a pair exists."""
    pairs = {
        (event, detail)
        for query in queries("promql")
        for event, details in re.findall(r'event="(\w+)",detail=~"([^"]*)"', query.text)
        for detail in details.split("|")
    }
    assert pairs and pairs <= events()


def test_events_in_texts() -> None:
    """The description of the panel of events names events that there are."""
    (panel,) = (p for p in panels(load("guest", "promql")) if p["title"] == "Events")
    (named,) = re.findall(r"Steps at (.*?):", panel["description"])
    known = {f"{event} {detail}" for event, detail in events()} | {event for event, _ in events()}
    assert set(re.split(", | or ", named)) <= known


def test_numbers_of_states() -> None:
    """The dashboards know all states; alerts compare with the states that they are about."""
    assert [*STATES] == [*range(len(STATE_NAMES))]
    about = {"LibvirtGuestCrashed": "crashed", "LibvirtGuestPausedByIoError": "paused"}
    for alert in ALERTS:
        if alert.name in about:
            (number,) = re.findall(r"libvirt_state_state\[\w+\]\) == (\d)", alert.promql)
            assert re.findall(r'"state" = (\d)', alert.influxql) == [number]
            assert STATE_NAMES[int(number)] == about.pop(alert.name)
    assert not about
    for number in (1, 3, 6):
        assert STATES[number][0] == STATE_NAMES[number]
