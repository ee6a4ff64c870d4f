"""An InfluxDB 1.x of the tests' own, on free loopback ports and in a temporary folder."""

import json
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from support.missing import leave_out

# Port 0 lets the system choose; the log then has the port. All other listeners are off by default.
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
        """Post lines as Telegraf does, and return the HTTP status."""
        return self._post("write", {"db": self.name, "precision": "ns"}, lines.encode())[0]

    def points(self) -> list:
        """All points, each as line_protocol_parser gives a line; in no particular order."""
        found = []
        for series in self._query("SELECT * FROM /.*/ GROUP BY *").get("series", []):
            # A tag that only other points of the measurement have comes as an empty one.
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

    def _query(self, query: str) -> Any:
        status, answer = self._post("query", {"db": self.name, "epoch": "ns", "q": query}, b"")
        result = json.loads(answer)["results"][0]
        assert status == 200, answer
        assert "error" not in result, answer
        return result

    def _post(self, path: str, parameters: dict, body: bytes) -> "tuple[int, bytes]":
        request = Request(f"http://{self.address}/{path}?{urlencode(parameters)}", body)
        try:
            # Loopback is not for a proxy that the environment may name.
            with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()


def wait_for_address(server: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        found = LISTENING.search(log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"influxd did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def influxdb_address() -> Iterator[str]:
    """A running server's host and port."""
    influxd = shutil.which("influxd")
    if influxd is None:
        leave_out("influxd is not installed (InfluxDB 1.x, Debian's package influxdb)")
    version = subprocess.run([influxd, "version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("InfluxDB v1."):
        leave_out(f"influxd is not InfluxDB 1.x: {version.stdout.strip()}")
    with tempfile.TemporaryDirectory(prefix="influxdb-") as name:
        folder = Path(name)
        (folder / "influxdb.conf").write_text(CONFIG.format(folder=folder))
        # setpriv becomes the server, and lets the kernel end it if the tests themselves are killed.
        command = ["setpriv", "--pdeathsig", "TERM", influxd, "run", "-config", "influxdb.conf"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield wait_for_address(server, folder / "log")
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.fixture
def database(influxdb_address) -> Database:
    return Database(influxdb_address, uuid.uuid4().hex)
