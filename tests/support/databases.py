"""Databases for the tests, on free loopback ports and in temporary folders.

The rule: a server belongs to its `Workspace` and ends with it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from support.missing import Missing
from support.process import ProcessError, Workspace, wait_for

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


def start_influxdb(workspace: Workspace) -> str:
    """Start InfluxDB 1.x; return its host and port."""
    influxd = shutil.which("influxd")
    if influxd is None:
        raise Missing("influxd is not installed (InfluxDB 1.x, Debian's package influxdb)")
    version = subprocess.run([influxd, "version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("InfluxDB v1."):
        raise Missing(f"influxd is not InfluxDB 1.x: {version.stdout.strip()}")
    config, log = workspace.folder / "influxdb.conf", workspace.log("influxd")
    config.write_text(CONFIG.format(folder=workspace.folder))
    env = {**os.environ, "HOME": str(workspace.folder)}
    server = workspace.run("influxd", [influxd, "run", "-config", str(config)], env)
    wait_for(lambda: LISTENING.search(log.read_text()), 60, "influxd to listen", log, server)
    listening = LISTENING.search(log.read_text())
    assert listening
    return listening[1]


def start_victoria_metrics(workspace: Workspace) -> str:
    """Start VictoriaMetrics; return its host and port."""
    program = shutil.which("victoria-metrics")
    if program is None:
        raise Missing("victoria-metrics is not installed (Debian's package victoria-metrics)")
    for attempt in range(5):
        name = f"victoria-metrics-{attempt}"
        address = f"127.0.0.1:{_free_port()}"
        command = [
            program,
            f"-httpListenAddr={address}",
            f"-storageDataPath={workspace.folder}/{name}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            "-memory.allowedBytes=256MiB",
        ]
        server = workspace.run(name, command, dict(os.environ))
        try:
            wait_for(
                lambda address=address: _answers(address),  # type: ignore[misc]
                60,
                "VictoriaMetrics to listen",
                workspace.log(name),
                server,
            )
        except ProcessError as error:
            if "address already in use" in str(error):  # another process was faster
                continue
            raise
        return address
    raise ProcessError("no free port for VictoriaMetrics")


def start_prometheus(workspace: Workspace, name: str, scraped: str = "") -> str:
    """Start Prometheus; return its host and port. It scrapes this host and port each second, and
    takes remote writes."""
    program = shutil.which("prometheus")
    if program is None:
        raise Missing("prometheus is not installed (Debian's package prometheus)")
    targets = json.dumps([{"targets": [scraped]}] if scraped else [])
    config = workspace.folder / f"{name}.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: telegraf, static_configs: {targets}}}]\n"
    )
    address = f"127.0.0.1:{_free_port()}"
    command = [
        program,
        f"--config.file={config}",
        f"--web.listen-address={address}",
        f"--storage.tsdb.path={workspace.folder}/{name}",
        "--web.enable-remote-write-receiver",
    ]
    server = workspace.run(name, command, dict(os.environ))
    ready = lambda: _answers(address, "-/ready")  # noqa: E731
    wait_for(ready, 60, "Prometheus to listen", workspace.log(name), server)
    return address


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(address: str, path: str = "health") -> bool:
    try:
        return post(address, path, body=None)[0] == 200
    except (URLError, OSError):
        return False


def post(
    address: str,
    path: str,
    parameters: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = b"",
) -> tuple[int, bytes]:
    """The status and the body of an answer; without a body the request is a GET. No proxy of the
    environment is used for loopback."""
    request = Request(f"http://{address}/{path}?{urlencode(parameters or {})}", body)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
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
        """Write all lines, some thousand at a time."""
        for text in joined(batches):
            status = self.write(text)
            assert status == 204, status

    def points(self) -> list[dict[str, Any]]:
        """All points, in the form of line_protocol_parser, in no particular order."""
        found = []
        for series in self.query("SELECT * FROM /.*/ GROUP BY *").get("series", []):
            # A tag that only other points of the measurement have is returned empty.
            tags = {name: value for name, value in series["tags"].items() if value}
            for timestamp, *values in series["values"]:
                fields = zip(series["columns"][1:], values)
                found.append(
                    {
                        "measurement": series["name"],
                        "tags": tags,
                        "fields": {name: value for name, value in fields if value is not None},
                        "time": timestamp,
                    }
                )
        return found

    def groups(self, query: str) -> list[tuple[dict[str, str], Any]]:
        """The tags and the one value of each group of a query, in the order of the tags."""
        series = self.query(query).get("series", [])
        return sorted(
            ((one["tags"], one["values"][0][1]) for one in series), key=lambda group: str(group[0])
        )

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
        data = self._data(path, {**parameters, "nocache": "1"})
        return list(data["result"])

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
        for text in joined(batches):
            status, answer = post(self.address, "write", {"precision": "ns"}, text.encode())
            assert status == 204, answer
        post(self.address, "internal/force_flush")


def joined(batches: Iterable[str], size: int = 1_000_000) -> Iterable[str]:
    """The same text in fewer pieces of at least this many characters."""
    pieces: list[str] = []
    length = 0
    for text in batches:
        pieces.append(text)
        length += len(text)
        if length >= size:
            yield "".join(pieces)
            pieces, length = [], 0
    if pieces:
        yield "".join(pieces)
