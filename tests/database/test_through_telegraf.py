"""The dashboards show hosts whose metrics came through a real Telegraf."""

import os
import re
import shutil
import sys
import time
from urllib.request import ProxyHandler, build_opener

import pytest

from support.grafana import Period, load, panels, variables
from support.process import Workspace, wait_for

# No package of Debian has it, so it is not required either.
pytestmark = pytest.mark.skipif(not shutil.which("telegraf"), reason="telegraf is not installed")

ALL = {"host": ".*", "domain": ".*", "project": ".*"}

TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "from-telegraf"
[[inputs.execd]]
  command = ["{python}", "-m", "telegraf_execd_libvirt", "--config", "{folder}/plugin.conf"]
  signal = "STDIN"
  data_format = "influx"
  precision = "1s"
[[outputs.influxdb]]
  urls = ["http://{influxdb}"]
  database = "{database}"
[[outputs.influxdb]]
  urls = ["http://{victoria_metrics}"]
  database = "telegraf"
  skip_database_creation = true
[[outputs.prometheus_client]]
  listen = "127.0.0.1:0"
  metric_version = 2
  string_as_label = false
  expiration_interval = "60s"
"""
PLUGIN = """
[[inputs.libvirt]]
  libvirt_uri = "test:///default"
  additional_statistics = ["health", "domain", "node"]
"""


@pytest.fixture(scope="module")
def names(influxql, promql):
    """What Telegraf's own page for Prometheus has, while both databases get its metrics."""
    with Workspace("telegraf") as workspace:
        config = TELEGRAF.format(
            python=sys.executable,
            folder=workspace.folder,
            influxdb=influxql.database.address,
            database=influxql.database.name,
            victoria_metrics=promql.database.address,
        )
        (workspace.folder / "telegraf.conf").write_text(config)
        (workspace.folder / "plugin.conf").write_text(PLUGIN)
        command = ["telegraf", "--config", str(workspace.folder / "telegraf.conf")]
        process, log = (
            workspace.run("telegraf", command, dict(os.environ)),
            workspace.log("telegraf"),
        )
        listening = r"Listening on (http://127\.0\.0\.1:\d+/metrics)"
        wait_for(lambda: re.search(listening, log.read_text()), 30, "the page", log, process)
        page = re.search(listening, log.read_text())[1]
        opener = build_opener(ProxyHandler({}))
        text = []

        def scraped():
            with opener.open(page, timeout=10) as answer:
                text[:] = [answer.read().decode()]
            return "libvirt_state_state" in text[0]

        wait_for(scraped, 30, "metrics", log, process)
        time.sleep(12)
        yield set(re.findall(r"^(libvirt_\w+)\{", text[0], re.MULTILINE))


@pytest.mark.parametrize("language", ["influxql", "promql"])
def test_the_host_is_there(names, source, language):
    """The variables have the host and its guest, and the panels count it."""
    now = int(time.time())
    period = Period(now - 60, now)
    dashboard = load("fleet", language)
    host, _, guest = variables(dashboard)
    assert "from-telegraf" in source.values(host, ALL, period)
    chosen = {**ALL, "host": "from-telegraf"}
    assert source.values(guest, chosen, period) == ["test"]
    shown = {panel["title"]: panel for panel in panels(dashboard)}
    for title, value in (("Guests by state", 1), ("Hypervisors", 1)):
        (series,) = source.ask(shown[title], shown[title]["targets"][0], chosen, period)
        assert series.last == value
    (series,) = source.ask(shown["CPU"], shown["CPU"]["targets"][0], chosen, period)
    assert series.last >= 0


def test_names_of_prometheus(names):
    """A page that Prometheus scrapes has the names that the queries ask for."""
    asked = {
        name
        for board in ("fleet", "guest")
        for panel in panels(load(board, "promql"))
        for target in panel["targets"]
        for name in re.findall(r"\blibvirt_\w+(?=\{)", target["expr"])
    }
    assert {"libvirt_state_state", "libvirt_cpu_cpu_time", "libvirt_health_up"} <= names & asked
