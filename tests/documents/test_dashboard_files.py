"""The dashboards are what the list of panels says, are well formed, and follow Grafana's rules."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from support.documents import load_script
from support.grafana import BOARDS, FOLDER, Json, load, panels, query_of, variables

build = load_script("build_dashboards")

SOURCES = {"influxql": "influxdb", "promql": "prometheus"}
BUILT_IN = {"timeFilter", "__interval", "__rate_interval", "__range"}
KINDS = {"stat", "timeseries", "table", "state-timeline"}
#: Units of Grafana that are used here; a text after `suffix:` is free.
UNITS = {
    *("none", "short", "percent", "ms", "ns", "s", "kbytes", "bytes", "Bps", "iops", "pps", "cpm"),
    *("percentunit", "dateTimeFromNow"),
}


@pytest.fixture(params=BOARDS, ids="-".join)
def board(request: pytest.FixtureRequest) -> tuple[Json, str]:
    """Each dashboard and its language."""
    name, language = request.param
    return load(name, language), language


def queries(dashboard: Json) -> list[str]:
    """All queries of all panels."""
    return [query_of(target) for panel in panels(dashboard) for target in panel["targets"]]


def test_files_are_up_to_date() -> None:
    """The files are what the script makes of the list of panels, and there are no others."""
    made = build.files()
    for name, text in made.items():
        assert (FOLDER.parent / name).read_text("utf-8") == text
    assert {f"dashboards/{path.name}" for path in FOLDER.glob("*.json")} <= set(made)


def test_structure(board: tuple[Json, str]) -> None:
    """Grafana's own model of a dashboard reads the file, and keeps all panels and variables."""
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard", reason="needs Python 3.11"
    )
    dashboard, _ = board
    read = models.Dashboard.from_json(dashboard)
    assert (read.uid, read.schema_version) == (dashboard["uid"], 39)
    assert len(read.panels) == len(dashboard["panels"])
    assert [v.name for v in read.templating.list_val] == [
        variable["name"] for variable in dashboard["templating"]["list"]
    ]


def test_data_source_is_a_variable(board: tuple[Json, str]) -> None:
    """One variable chooses the data source of all panels, queries and variables. Variables are read
    again when the time range changes; All is any text, also none."""
    dashboard, language = board
    (variable,) = (v for v in dashboard["templating"]["list"] if v["type"] == "datasource")
    assert (variable["name"], variable["query"]) == ("datasource", SOURCES[language])
    assert "__inputs" not in dashboard
    expected = {"type": SOURCES[language], "uid": "${datasource}"}
    for panel in panels(dashboard):
        assert panel["datasource"] == expected
        assert all(target["datasource"] == expected for target in panel["targets"])
    for variable in variables(dashboard):
        assert variable["datasource"] == expected
        assert (variable["refresh"], variable["multi"]) == (2, True)
        assert variable["includeAll"] == (variable.get("allValue") == ".*")
        assert variable["description"] and variable["label"]


def test_each_panel_is_explained(board: tuple[Json, str]) -> None:
    """Each panel has a title, a description with advice, and a unit that Grafana has."""
    shown = list(panels(board[0]))
    assert max(Counter(panel["title"] for panel in shown).values()) == 1
    for panel in shown:
        assert panel["type"] in KINDS
        assert len(panel["description"]) > 60, panel["title"]
        config = panel["fieldConfig"]
        properties = [p for override in config["overrides"] for p in override["properties"]]
        units = {config["defaults"]["unit"], *(p["value"] for p in properties if p["id"] == "unit")}
        assert all(unit.startswith("suffix: ") for unit in units - UNITS), panel["title"]


def test_panels_have_their_own_places(board: tuple[Json, str]) -> None:
    """Numbers are unique, and no panel covers another or leaves the page."""
    everything = board[0]["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [panel["gridPos"] for panel in everything]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
    for one, two in combinations(places, 2):
        apart = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        above = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert apart or above, (one, two)


def test_variables_are_defined(board: tuple[Json, str]) -> None:
    """Each variable in a query is defined, and each one that is defined is used."""
    dashboard = board[0]
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    texts = [*queries(dashboard), *(v["query"] for v in variables(dashboard))]
    used = {name for text in texts for name in re.findall(r"\$(\w+|\{[^}]*\})", text)}
    assert used - BUILT_IN == {f"{{{name}:regex}}" for name in defined - {"datasource"}}


def test_queries_follow_the_rules_of_their_language(board: tuple[Json, str]) -> None:
    """PromQL: rates over the rate interval, or over the range if they are divided by each other,
    as not all series are in the whole range. InfluxQL: one filter of the time, outside of all
    parentheses; rates of guests between the first values of intervals. Each kind of target as its
    panel needs it."""
    dashboard, language = board
    for query in queries(dashboard):
        if language == "promql":
            windows = set(re.findall(r"rate\([^\[]*\[([^\]]*)\]", query))
            assert windows <= {"$__rate_interval"} or (
                windows == {"$__range"} and re.search(r"\) / \(sum by ", query)
            ), query
        else:
            assert query.count("$timeFilter") == 1
            before = query.partition("$timeFilter")[0]
            assert before.count("(") == before.count(")"), query
            if '"libvirt_health"' not in query:
                assert query.count("non_negative_derivative(") == query.count("derivative(first(")
            assert "time()" not in query and not re.search(r'\("time"', query)
    for panel in panels(dashboard):
        table = panel["type"] == "table"
        for target in panel["targets"]:
            kind = target["resultFormat"] if language == "influxql" else target["format"]
            assert kind == ("table" if table else "time_series")
            if language == "promql":
                assert target["instant"] != target["range"]


def test_counts_are_never_missing(board: tuple[Json, str]) -> None:
    """A count of nothing is shown as 0."""
    for panel in panels(board[0]):
        for target in panel["targets"]:
            if query_of(target).startswith(("count(", "SELECT count(")):
                assert panel["fieldConfig"]["defaults"]["noValue"] == "0"


def test_tables_lead_to_the_guest(board: tuple[Json, str]) -> None:
    """A guest's name in a table opens its own dashboard in the same language and data source."""
    dashboard, language = board
    for panel in panels(dashboard):
        if panel["type"] == "table":
            overrides = panel["fieldConfig"]["overrides"]
            (guest,) = (o for o in overrides if o["matcher"]["options"] == "guest")
            (link,) = (p for p in guest["properties"] if p["id"] == "links")
            url = link["value"][0]["url"]
            assert url.startswith(f"/d/libvirt-guest-{language}?${{datasource:queryparam}}&")
            assert "var-host=" in url and "var-domain=" in url
    assert load("guest", language)["uid"] == f"libvirt-guest-{language}"


def test_provisioning_fits_the_dashboards() -> None:
    """The examples have a data source of each type that the dashboards can choose."""
    text = (FOLDER / "provisioning" / "datasources.yml").read_text("utf-8")
    assert set(re.findall(r"^    type: (\w+)$", text, re.MULTILINE)) == set(SOURCES.values())
    page = (FOLDER.parent / "docs" / "dashboards.md").read_text("utf-8")
    folder = re.search(r"path: (\S+)", (FOLDER / "provisioning" / "dashboards.yml").read_text())
    assert folder and f"-t {folder[1]} " in page
