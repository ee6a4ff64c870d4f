"""Databases for the tests of this folder."""

import uuid
from collections.abc import Iterable, Iterator

import pytest

from support.blocks import FilledPrometheus
from support.databases import InfluxDB, VictoriaMetrics, start_influxdb, start_victoria_metrics
from support.example_fleet import END, FLEET, PLAIN_END, PLAIN_FLEET, START, STEP
from support.fleet_lines import lines
from support.grafana import Source
from support.missing import Missing, leave_out
from support.process import Workspace


@pytest.fixture(scope="session")
def influxdb_address() -> Iterator[str]:
    """Host and port of a running InfluxDB 1.x."""
    with Workspace("influxdb") as workspace:
        try:
            address = start_influxdb(workspace)
        except Missing as missing:
            leave_out(str(missing))
        yield address


@pytest.fixture
def database(influxdb_address) -> InfluxDB:
    """A new database of InfluxDB, empty."""
    return InfluxDB(influxdb_address, uuid.uuid4().hex)


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """A new VictoriaMetrics, empty."""
    with Workspace("victoria-metrics") as workspace:
        try:
            address = start_victoria_metrics(workspace)
        except Missing as missing:
            leave_out(str(missing))
        yield VictoriaMetrics(address)


@pytest.fixture
def prometheus() -> Iterator[FilledPrometheus]:
    """A Prometheus that starts when it is filled."""
    with Workspace("prometheus") as workspace:
        yield FilledPrometheus(workspace)


@pytest.fixture
def filled(request):
    """A function that gives a data source with these lines, in the database that the test's
    parameter names."""

    def fill(written: "Iterable[str]") -> Source:
        database = request.getfixturevalue(request.param)
        try:
            database.fill(written)
        except Missing as missing:
            leave_out(str(missing))
        return Source(database)

    return fill


@pytest.fixture(scope="session")
def fleet_lines() -> "list[str]":
    """What the plugins of the example fleet write, and before that those of the plain one."""
    plain = lines(PLAIN_FLEET, PLAIN_END - 900, PLAIN_END, STEP)
    return [*plain, *lines(FLEET, START, END, STEP)]


@pytest.fixture(scope="session")
def influxql(influxdb_address, fleet_lines) -> Source:
    """InfluxDB with the fleets."""
    database = InfluxDB(influxdb_address, uuid.uuid4().hex)
    database.fill(fleet_lines)
    return Source(database)


@pytest.fixture(scope="session")
def promql(victoria_metrics, fleet_lines) -> Source:
    """VictoriaMetrics with the fleets."""
    victoria_metrics.fill(fleet_lines)
    return Source(victoria_metrics)


@pytest.fixture
def source(request) -> Source:
    """The data source of the test's parameter ``language``."""
    return request.getfixturevalue(request.getfixturevalue("language"))
