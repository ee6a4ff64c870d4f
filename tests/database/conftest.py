"""Databases for the tests of this folder."""

import uuid
from collections.abc import Iterator

import pytest

from support.databases import (
    FilledPrometheus,
    InfluxDB,
    VictoriaMetrics,
    start_influxdb,
    start_victoria_metrics,
)
from support.grafana import Source
from support.process import Workspace
from support.sites import SITES


@pytest.fixture(scope="package")
def influxdb_address() -> Iterator[str]:
    """Host and port of a running InfluxDB 1.x."""
    with Workspace("influxdb") as workspace:
        yield start_influxdb(workspace)


@pytest.fixture
def database(influxdb_address) -> InfluxDB:
    """A new database of InfluxDB, empty."""
    return InfluxDB(influxdb_address, uuid.uuid4().hex)


@pytest.fixture(scope="package")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """The VictoriaMetrics of all tests."""
    with Workspace("victoria-metrics") as workspace:
        yield VictoriaMetrics(start_victoria_metrics(workspace))


@pytest.fixture
def prometheus() -> Iterator[FilledPrometheus]:
    """A Prometheus that starts when it is filled."""
    with Workspace("prometheus") as workspace:
        yield FilledPrometheus(workspace)


@pytest.fixture
def filled(request):
    """A function that gives a data source with these lines, in the database that the test's
    parameter names."""

    def fill(written) -> Source:
        database = request.getfixturevalue(request.param)
        database.fill(written)
        return Source(database)

    return fill


@pytest.fixture(scope="package")
def site_in(request):
    """A function that gives the data source of a site in a language, and fills it once."""
    filled = {}

    def of(site: str, language: str) -> Source:
        if (site, language) not in filled:
            if language == "influxql":
                address = request.getfixturevalue("influxdb_address")
                database = InfluxDB(address, uuid.uuid4().hex)
            else:
                database = request.getfixturevalue("victoria_metrics")
            database.fill(SITES[site].lines)
            filled[site, language] = Source(database)
        return filled[site, language]

    return of


@pytest.fixture
def source(site_in, language) -> Source:
    """The special cases in the language that the test's parameter names."""
    return site_in("special", language)
