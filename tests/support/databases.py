"""Databases for the tests, on free loopback ports and in temporary folders.

The rule: a server belongs to its `Workspace` and ends with it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from line_protocol_parser import parse_line

from support.missing import Missing, needed
from support.process import ProcessError, Workspace, finish, free_port, wait_for

# With port 0 the system chooses a port, and the log names it. Other listeners are off by default.
CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:0"
  log-enabled = false
"""
LISTENING = re.compile(r"Listening on HTTP\b.*\baddr=(127\.0\.0\.1:\d+)")

#: No proxy of the environment is used for loopback.
_OPENER = build_opener(ProxyHandler({}))


def start_influxdb(workspace: Workspace) -> str:
    """Start InfluxDB 1.x; return its host and port."""
    influxd = needed("influxd", "influxdb")
    version = finish(influxd, "version")
    if not version.startswith("InfluxDB v1."):
        raise Missing(f"InfluxDB 1.x, not {version.strip()}")
    config, log = workspace.folder / "influxdb.conf", workspace.log("influxd")
    config.write_text(CONFIG.format(folder=workspace.folder))
    env = {**os.environ, "HOME": str(workspace.folder)}
    server = workspace.run("influxd", [influxd, "run", "-config", str(config)], env)
    wait_for(lambda: LISTENING.search(log.read_text()), 60, "influxd to listen", log, server)
    return LISTENING.findall(log.read_text())[0]  # type: ignore[no-any-return]


def start_victoria_metrics(workspace: Workspace) -> str:
    """Start VictoriaMetrics; return its host and port."""
    command = [
        needed("victoria-metrics", "victoria-metrics"),
        "-httpListenAddr={address}",
        f"-storageDataPath={workspace.folder}/victoria-metrics",
        *("-retentionPeriod=100y", "-search.latencyOffset=0s", "-memory.allowedBytes=256MiB"),
    ]
    return _started(workspace, "victoria-metrics", command, "health")


def start_prometheus(workspace: Workspace, name: str, scraped: str = "") -> str:
    """Start Prometheus; return its host and port. It scrapes this host and port each second, and
    takes remote writes."""
    targets = json.dumps([{"targets": [scraped]}] if scraped else [])
    config = workspace.folder / f"{name}.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: telegraf, static_configs: {targets}}}]\n"
    )
    command = [
        needed("prometheus", "prometheus"),
        f"--config.file={config}",
        "--web.listen-address={address}",
        f"--storage.tsdb.path={workspace.folder}/{name}",
        "--web.enable-remote-write-receiver",
    ]
    return _started(workspace, name, command, "-/ready")


def _started(workspace: Workspace, name: str, command: list[str], page: str) -> str:
    """Start a server that cannot choose a free port itself, and wait for its page."""
    for _ in range(5):
        address = f"127.0.0.1:{free_port()}"
        filled = [part.replace("{address}", address) for part in command]
        server = workspace.run(name, filled, dict(os.environ))

        def answers(address: str = address) -> bool:
            try:
                return post(address, page, body=None)[0] == 200
            except (URLError, OSError):
                return False

        try:
            wait_for(answers, 60, f"{name} to listen", workspace.log(name), server)
        except ProcessError as error:
            if "address already in use" in str(error):  # another process was faster
                continue
            raise
        return address
    raise ProcessError(f"no free port for {name}")


def post(
    address: str,
    path: str,
    parameters: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = b"",
) -> tuple[int, bytes]:
    """The status and the body of an answer; without a body the request is a GET."""
    request = Request(f"http://{address}/{path}?{urlencode(parameters or {})}", body)
    try:
        with _OPENER.open(request, timeout=30) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


class InfluxDB:
    """One empty database of a server."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.query(f'CREATE DATABASE "{name}"')

    def write(self, lines: str) -> int:
        """Post lines as Telegraf does; return the HTTP status."""
        parameters = {"db": self.name, "precision": "ns"}
        return post(self.address, "write", parameters, lines.encode())[0]

    def fill(self, batches: Iterable[str]) -> None:
        """Write all lines at once."""
        status = self.write("".join(batches))
        assert status == 204, status

    def points(self) -> list[dict[str, Any]]:
        """All points, in the form of line_protocol_parser, in no particular order."""
        found = []
        for series in self.query("SELECT * FROM /.*/ GROUP BY *").get("series", []):
            # A tag that only other points of the measurement have is returned empty.
            tags = {name: value for name, value in series["tags"].items() if value}
            for time, *values in series["values"]:
                cells = zip(series["columns"][1:], values)
                fields = {name: value for name, value in cells if value is not None}
                point = {"measurement": series["name"], "tags": tags, "fields": fields}
                found.append({**point, "time": time})
        return found

    def query(self, query: str) -> Any:
        """The result of one statement."""
        status, answer = post(self.address, "query", {"db": self.name, "epoch": "ns", "q": query})
        assert status == 200, answer
        result = json.loads(answer)["results"][0]
        assert "error" not in result, answer
        return result


class Prometheus:
    """A server that answers PromQL, asked as Grafana asks it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def instant(self, query: str, time: int) -> list[dict[str, Any]]:
        """The vector of a query at a time in seconds."""
        return self._vector("query", {"query": query, "time": str(time)})

    def range(self, query: str, start: int, end: int, step: int) -> list[dict[str, Any]]:
        """The matrix of a query."""
        parameters = {"start": str(start), "end": str(end), "step": str(step)}
        return self._vector("query_range", {"query": query, **parameters})

    def label_values(self, label: str, selector: str, start: int, end: int) -> list[str]:
        """The values of a label in the series of a selector."""
        parameters = {"match[]": selector, "start": str(start), "end": str(end)}
        return list(self._data(f"label/{label}/values", parameters, None))

    def _vector(self, path: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        return list(self._data(path, {**parameters, "nocache": "1"})["result"])

    def _data(self, path: str, parameters: dict[str, str], body: Optional[bytes] = b"") -> Any:
        status, answer = post(self.address, f"api/v1/{path}", parameters, body)
        assert status == 200, answer
        document = json.loads(answer)
        assert document["status"] == "success", answer
        return document["data"]


class VictoriaMetrics(Prometheus):
    """A server of VictoriaMetrics."""

    def fill(self, batches: Iterable[str]) -> None:
        """Write all lines as Telegraf's output influxdb does, and make them visible."""
        body = "".join(batches).encode()
        status, answer = post(self.address, "write", {"precision": "ns"}, body)
        assert status == 204, answer
        post(self.address, "internal/force_flush")


class FilledPrometheus(Prometheus):
    """A server that starts when it is filled: it takes metrics of the past from a file only."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("")
        self._workspace = workspace

    def fill(self, batches: Iterable[str]) -> None:
        """Start the server with all lines."""
        promtool = needed("promtool", "prometheus")
        (self._workspace.folder / "metrics.txt").write_text(open_metrics(batches))
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "metrics.txt", "filled"]
        finish(*command, cwd=self._workspace.folder)
        self.address = start_prometheus(self._workspace, "filled")


def open_metrics(batches: Iterable[str]) -> str:
    """Lines of line protocol as OpenMetrics, all samples of a name after each other. The names are
    those that Telegraf gives; texts are left out, as by Telegraf."""
    samples: dict[str, list[str]] = {}
    for line in (line for batch in batches for line in batch.splitlines()):
        parsed = parse_line(line)
        labels = []
        for tag, text in parsed["tags"].items():
            escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            labels.append(f'{re.sub(r"[^a-zA-Z0-9_]", "_", tag)}="{escaped}"')
        seconds = parsed["time"] // 10**9
        for field, value in parsed["fields"].items():
            if isinstance(value, (int, float)):
                name = f"{parsed['measurement']}_{field}"
                sample = f"{name}{{{','.join(labels)}}} {float(value)!r} {seconds}"
                samples.setdefault(name, []).append(sample)
    return "\n".join([*(line for found in samples.values() for line in found), "# EOF\n"])
