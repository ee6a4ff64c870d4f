"""The dashboards show hosts whose metrics came through a real Telegraf, with the outputs that
docs/dashboards.md describes."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
import tomli

from support.databases import (
    InfluxDB,
    Prometheus,
    VictoriaMetrics,
    post,
    start_prometheus,
    start_victoria_metrics,
)
from support.expected_panels import expected, latest
from support.grafana import ALL, FOLDER, STEP, Period, Source, load, panels, query_of, variables
from support.process import Workspace, wait_for
from support.replay import replayed

# No package of Debian has it, so it is not required either.
pytestmark = pytest.mark.skipif(not shutil.which("telegraf"), reason="telegraf is not installed")

TESTS = Path(__file__).parents[1]

# The second input writes 14,000 lines at once; Telegraf drops what its buffer cannot hold. A busy
# host delays ticks: in seconds, two of them could have the same time, and Prometheus refuses the
# second one, with all else in its request.
TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_buffer_limit = 100000
  hostname = "from-telegraf"
[[inputs.execd]]
  command = ["{python}", "-m", "telegraf_execd_libvirt", "--config", "{folder}/plugin.conf"]
  signal = "STDIN"
  data_format = "influx"
  precision = "1ms"
[[inputs.execd]]
  command = ["{python}", "-m", "support.replay", "{start}"]
  environment = ["PYTHONPATH={tests}"]
  signal = "none"
  data_format = "influx"
"""
PLUGIN = """
[[inputs.libvirt]]
  libvirt_uri = "test:///default"
  additional_statistics = ["health", "domain", "node", "storage_pool", "disk_error"]
"""
#: The ways into a database.
WAYS = ("influxdb", "influxdb to victoria-metrics", "prometheus_client", "remote write")

#: Panels that may have no value: InfluxQL has no count of nothing.
COUNTS = ("Guests by state", "Not responding", "Hypervisors")


def outputs(*addresses):
    """The outputs in docs/dashboards.md, without that for InfluxDB 2, with other addresses."""
    page = (FOLDER.parent / "docs" / "dashboards.md").read_text("utf-8")
    texts = [t for t in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[[outputs." in t]
    found = [text for text in texts if "influxdb_v2" not in text]
    for old, new in addresses:
        assert sum(text.count(old) for text in found) == 1, old
        found = [text.replace(old, new) for text in found]
    text = "\n".join(found)
    assert [*tomli.loads(text)["outputs"]] == ["influxdb", "prometheus_client", "http"]
    return text


@pytest.fixture(scope="module")
def ways(influxdb_address):
    """The data sources by way, some seconds after Telegraf's start, and the start."""
    with Workspace("telegraf") as workspace:
        written = start_prometheus(workspace, "prometheus-written")
        metrics = start_victoria_metrics(workspace)
        influxdb = InfluxDB(influxdb_address, "telegraf")
        start = int(time.time()) - 20
        config = TELEGRAF.format(
            python=sys.executable, folder=workspace.folder, start=start, tests=TESTS
        ) + outputs(
            ("http://127.0.0.1:8086", f"http://{influxdb_address}"),
            ("http://127.0.0.1:8428", f"http://{metrics}"),
            ('":9273"', '"127.0.0.1:0"'),
            ("http://127.0.0.1:9090", f"http://{written}"),
        )
        (workspace.folder / "telegraf.conf").write_text(config)
        (workspace.folder / "plugin.conf").write_text(PLUGIN)
        command = ["telegraf", "--config", str(workspace.folder / "telegraf.conf")]
        process = workspace.run("telegraf", command, dict(os.environ))
        log = workspace.log("telegraf")
        listening = r"Listening on http://(127\.0\.0\.1:\d+)/metrics"
        wait_for(lambda: re.search(listening, log.read_text()), 30, "the page", log, process)
        page = re.search(listening, log.read_text())[1]
        scraping = start_prometheus(workspace, "prometheus-scraping", page)
        found = {
            "influxdb": Source(influxdb),
            "influxdb to victoria-metrics": Source(VictoriaMetrics(metrics)),
            "prometheus_client": Source(Prometheus(scraping)),
            "remote write": Source(Prometheus(written)),
        }

        def old_enough() -> bool:
            """VictoriaMetrics repeats the step before the last one: that has to have values too.
            Each database has to have rates of all hosts."""
            post(metrics, "internal/force_flush")
            now, query = int(time.time()), 'libvirt_state_state{host="from-telegraf"}'
            database = found["influxdb to victoria-metrics"].database
            if not all(database.instant(query, now - age) for age in (0, STEP + 5)):
                return False
            return all(_hosts(source, now) == hosts for source in found.values())

        hosts = {"from-telegraf", *(host.name for host in replayed(start).hosts)}
        wait_for(old_enough, 120, "values of two steps", log, process)
        yield found, start, page


def _hosts(source, now):
    """The hosts that have rates of counters."""
    shown = {panel["title"]: panel for panel in panels(load("fleet", source.language))}
    panel = shown["CPU of guests by host"]
    series = source.ask(panel, panel["targets"][0], ALL, Period(now - 60, now))
    return {each.labels["host"] for each in series}


@pytest.mark.parametrize("way", WAYS)
def test_the_plugins_host_is_there(ways, way):
    """The variables have the host and its guest, and the panels count it."""
    source, now = ways[0][way], int(time.time())
    period = Period(now - 60, now)
    dashboard = load("fleet", source.language)
    host, _, guest = variables(dashboard)
    assert "from-telegraf" in source.values(host, ALL, period)
    chosen = {**ALL, "host": "from-telegraf"}
    assert source.values(guest, chosen, period) == ["test"]
    shown = {panel["title"]: panel for panel in panels(dashboard)}
    for title in ("Guests by state", "Hypervisors", "vCPUs of running guests", "vCPUs"):
        series = source.ask(shown[title], shown[title]["targets"][0], chosen, period)
        assert [each.last for each in series] == [2 if "vCPUs" in title else 1]
    for title in ("CPU", "Disk throughput by host", "Use of the storage pools", "Guests over time"):
        (series,) = source.ask(shown[title], shown[title]["targets"][0], chosen, period)
        assert series.last >= 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["fleet", "guest"])
def test_every_panel(ways, way, name):
    """Each query has series; those that are no rates have the numbers of the fleet."""
    source, now = ways[0][way], int(time.time())
    fleet = replayed(ways[1])
    # Some sources write once in 5 minutes.
    period = Period(now - 300, now)
    numbers = expected(fleet, now, period.start, 1)[name]
    chosen = {**ALL, "host": [host.name for host in fleet.hosts]}
    compared = 0
    for panel in panels(load(name, source.language)):
        for target in panel["targets"]:
            at = f"{panel['title']} {target['refId']}"
            series = source.ask(panel, target, chosen, period)
            if panel["title"] in COUNTS and source.language == "influxql" and not series:
                continue
            assert series, at
            rates = re.search(r"derivative|rate\(|top\(|topk\(", query_of(target))
            if at in numbers and not rates:
                numeric = [each for each in series if not isinstance(each.last, str)]
                assert latest(numeric) == pytest.approx(numbers[at], rel=0.001), at
                compared += 1
    assert compared > 15


def test_a_scraped_page_has_only_numbers(ways):
    """A page that Prometheus scrapes has the names that the queries ask for, and no text as a
    label. What sources write seldom is on the page for a minute only."""
    status, page = post(ways[2], "metrics", body=None)
    assert status == 200 and "state_name" not in page.decode()
    now, scraping = int(time.time()), ways[0]["prometheus_client"].database
    names = set(scraping.label_values("__name__", '{__name__=~"libvirt_.+"}', now - 600, now))
    asked = {
        name
        for board in ("fleet", "guest")
        for panel in panels(load(board, "promql"))
        for target in panel["targets"]
        for name in re.findall(r"\blibvirt_\w+(?=\{)", target["expr"])
    }
    assert asked <= names
