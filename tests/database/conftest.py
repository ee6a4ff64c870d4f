"""An InfluxDB 1.x server for the tests, on free loopback ports and in a temporary folder."""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from support.missing import leave_out
from support.process import Workspace, wait_for

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


class Database:
    """One empty database of the server."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self._query(f'CREATE DATABASE "{name}"')

    def write(self, lines: str) -> int:
        """Post lines as Telegraf does; return the HTTP status."""
        return self._post("write", {"db": self.name, "precision": "ns"}, lines.encode())[0]

    def points(self) -> list:
        """All points, in the form of line_protocol_parser, in no particular order."""
        found = []
        for series in self._query("SELECT * FROM /.*/ GROUP BY *").get("series", []):
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

    def groups(self, query: str) -> "list[tuple[dict, Any]]":
        """The tags and the one value of each group of a query, in the order of the tags."""
        series = self._query(query).get("series", [])
        return sorted(
            ((one["tags"], one["values"][0][1]) for one in series), key=lambda group: str(group[0])
        )

    def _query(self, query: str) -> Any:
        status, answer = self._post("query", {"db": self.name, "epoch": "ns", "q": query}, b"")
        result = json.loads(answer)["results"][0]
        assert status == 200, answer
        assert "error" not in result, answer
        return result

    def _post(self, path: str, parameters: dict, body: bytes) -> "tuple[int, bytes]":
        request = Request(f"http://{self.address}/{path}?{urlencode(parameters)}", body)
        try:
            # Use no proxy from the environment for loopback.
            with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture(scope="session")
def influxdb_address() -> Iterator[str]:
    """Host and port of a running server."""
    influxd = shutil.which("influxd")
    if influxd is None:
        leave_out("influxd is not installed (InfluxDB 1.x, Debian's package influxdb)")
    version = subprocess.run([influxd, "version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("InfluxDB v1."):
        leave_out(f"influxd is not InfluxDB 1.x: {version.stdout.strip()}")
    with Workspace("influxdb") as workspace:
        config, log = workspace.folder / "influxdb.conf", workspace.log("influxd")
        config.write_text(CONFIG.format(folder=workspace.folder))
        env = {**os.environ, "HOME": str(workspace.folder)}
        server = workspace.run("influxd", [influxd, "run", "-config", str(config)], env)
        wait_for(lambda: LISTENING.search(log.read_text()), 60, "influxd to listen", log, server)
        listening = LISTENING.search(log.read_text())
        assert listening
        yield listening[1]


@pytest.fixture
def database(influxdb_address) -> Database:
    """A new database, empty."""
    return Database(influxdb_address, uuid.uuid4().hex)
