"""Each name in the queries of dashboards and alerts is one that the plugin writes: measurements,
tags, fields, and values of tags.

The rule: the names come from the schema and from the sources' own functions, not from lists here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from support.documents import load_script, recipes
from support.grafana import LANGUAGES, load, panels, query_of, variables
from telegraf_execd_libvirt.domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from telegraf_execd_libvirt.domain.record import STATE_NAMES
from telegraf_execd_libvirt.groups.schema import Metric, Type
from telegraf_execd_libvirt.sources import event as source

ALERTS = load_script("panels.alerts").ALERTS
STATES = load_script("panels.model").STATES
GROUPS = load_script("update_docs").GROUPS

#: Tags that identify devices, by the tag of their index.
FAMILIES = {"block_id": "block", "interface_id": "net"}


class Query(NamedTuple):
    """A query, where it is, and the names of labels in its legend or its texts."""

    at: str
    text: str
    labels: frozenset[str]


def board_queries(language: str) -> list[Query]:
    """The queries of all panels and variables."""
    found = []
    for name in ("fleet", "guest"):
        dashboard = load(name, language)
        for panel in panels(dashboard):
            for target in panel["targets"]:
                legend = target.get("alias") or target.get("legendFormat", "")
                labels = re.findall(r"\[\[tag_(\w+)\]\]|\{\{(\w+)\}\}", legend)
                text = query_of(target)
                names = frozenset(a or b for a, b in labels)
                found.append(Query(f"{name}: {panel['title']} {target['refId']}", text, names))
        found += [
            Query(f"{name}: ${v['name']}", v["query"], frozenset()) for v in variables(dashboard)
        ]
    return found


def queries(language: str) -> list[Query]:
    """All queries in a language, also those of alerts and of docs/recipes.md."""
    found = board_queries(language)
    for alert in ALERTS:
        labels = frozenset(re.findall(r"\$labels\.(\w+)", alert.summary))
        found.append(Query(alert.name, getattr(alert, language), labels))
    for question, asked in recipes().items():
        found.append(Query(question, " ".join(asked[language].split()), frozenset()))
    return found


INFLUXQL = [pytest.param(q, id=q.at) for q in queries("influxql")]
PROMQL = [pytest.param(q, id=q.at) for q in queries("promql")]


def tags_of(metric: Metric) -> set[str]:
    """The tags that lines of this metric may have, with that of Telegraf."""
    tags = {"host", *metric.all_tags}
    if metric.subject == "domain_name":
        tags |= {*DOMAIN_TAGS}
    families = {family for index, family in FAMILIES.items() if index in metric.indexes}
    return tags | {name for name, (family, _) in DEVICE_TAGS.items() if family in families}


TAGS: dict[str, set[str]] = {}
FIELDS: dict[str, dict[str, Type]] = {}
for _metric in (metric for group in GROUPS for metric in group.metrics):
    TAGS.setdefault(_metric.measurement, set()).update(tags_of(_metric))
    FIELDS.setdefault(_metric.measurement, {}).update((f.name, f.type) for f in _metric.fields)
# What the recipes configure Telegraf's own procstat to write.
TAGS["procstat"] = {"host", "domain_name", "status", "pidfile", "process_name"}
FIELDS["procstat"] = {"num_threads": Type.INT, "num_fds": Type.INT}
SERIES = {f"{name}_{field}": (name, field) for name, found in FIELDS.items() for field in found}


@pytest.mark.parametrize("query", INFLUXQL)
def test_influxql(query: Query) -> None:
    """The innermost SELECT reads fields of the measurement; what is grouped and compared with texts
    are its tags; the outer ones read what the inner ones named."""
    (measurement,) = set(re.findall(r'FROM "(\w+)"', query.text))
    tags, fields = TAGS[measurement], set(FIELDS[measurement])
    if query.text.startswith("SHOW TAG VALUES"):
        keys = re.findall(r'WITH KEY = "(\w+)"|"(\w+)" =~', query.text)
        assert {a or b for a, b in keys} <= tags
        return
    innermost = query.text[query.text.rindex("SELECT ") :]
    selected = innermost.partition(f'FROM "{measurement}"')[0]
    assert set(re.findall(r'(?<!AS )"(\w+)"', selected)) <= fields
    grouped = {
        name
        for clause in re.findall(r'GROUP BY ((?:time\([^)]*\)|[", \w])+)', query.text)
        for name in re.findall(r'"(\w+)"', clause)
    }
    assert grouped | compared(query.text, "influxql").keys() <= tags
    assert grouped | set(re.findall(r'top\([^)]*"(\w+)", 10', query.text)) >= query.labels
    aliases = set(re.findall(r'AS "(\w+)"', query.text))
    names = set(re.findall(r'(?<!AS )"(\w+)"', query.text)) - {measurement}
    assert names <= fields | tags | aliases


@pytest.mark.parametrize("query", PROMQL)
def test_promql(query: Query) -> None:
    """Each series is a field that is a number, because Prometheus has no texts; each label is a tag
    of all series in the query."""
    clauses = r"\b(?:by|on|ignoring) \(([^)]*)\)"
    labels = {
        label.strip() for clause in re.findall(clauses, query.text) for label in clause.split(",")
    }
    plain = re.sub(rf"{clauses}|`[^`]*`|\"[^\"]*\"", "", query.text)
    names = re.findall(r"\b(?:libvirt|procstat)_\w+", plain)
    names += [f"{name}_value" for name in re.findall(r'__name__=~"(\w+)\(_value\)\?"', query.text)]
    assert names
    selectors = re.findall(r"(\w+)(?:=~|!~|!=|=)[`\"]", query.text)
    wanted = (
        labels | ({*selectors} - {"__name__"}) | set(re.findall(r", (\w+)\)$", query.text)) - {""}
    )
    for name in names:
        measurement, field = SERIES[name]
        assert FIELDS[measurement][field] not in (Type.STRING, Type.YES_NO), name
        assert wanted | query.labels <= TAGS[measurement], name
    if query.labels and labels:
        assert query.labels <= labels


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
