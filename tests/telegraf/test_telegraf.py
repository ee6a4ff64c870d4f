"""The real Telegraf with examples/telegraf.conf, if it is installed.

No distribution has Telegraf, so it is the only component that any machine may lack.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.metrics import fields_of
from support.plugin import environment, eventually
from support.process import children, finish, kill

EXAMPLE = Path(__file__).parents[2] / "examples" / "telegraf.conf"
TELEGRAF = shutil.which("telegraf")

pytestmark = pytest.mark.skipif(TELEGRAF is None, reason="needs Telegraf, an executable on PATH")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The example with this checkout's plugin, libvirt's test driver and an output file."""
    plugin = tmp_path / "plugin.conf"
    plugin.write_text(
        '[[inputs.libvirt]]\n  libvirt_uri = "test:///default"\n'
        '  additional_statistics = ["health"]\n'
    )
    command = [sys.executable, "-m", "telegraf_execd_libvirt", "--config", str(plugin)]
    text = EXAMPLE.read_text("utf-8")
    old = 'command = ["telegraf-execd-libvirt", "--config", "/etc/telegraf-execd-libvirt.conf"]'
    agent = '  interval = "10s"\n  flush_interval = "10s"\n'
    assert text.count(old) == text.count('files = ["stdout"]') == text.count(agent) == 1
    text = text.replace(old, f"command = {json.dumps(command)}")
    text = text.replace('files = ["stdout"]', f'files = ["{tmp_path / "out.lp"}"]')
    text = text.replace(agent, agent.replace("10s", "1s"))
    path = tmp_path / "telegraf.conf"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def telegraf(conf: Path) -> Iterator[subprocess.Popen[str]]:
    """A running Telegraf with that configuration."""
    process = subprocess.Popen(
        [str(TELEGRAF), "--config", str(conf)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        encoding="utf-8",
    )
    yield process
    kill(process)
    assert process.stderr is not None
    process.stderr.close()


def test_metrics_arrive_tick_by_tick(telegraf: subprocess.Popen[str], conf: Path) -> None:
    """Metrics of several ticks arrive; Telegraf stops the plugin without an error."""
    output = conf.with_name("out.lp")
    assert eventually(lambda: output.exists() and len(stamps(output)) >= 3, 30)
    names = {series[0] for series, _ in fields_of(last_tick(output))}
    assert {"libvirt_state", "libvirt_block", "libvirt_net", "libvirt_health"} <= names
    telegraf.send_signal(signal.SIGTERM)
    _, log = telegraf.communicate(timeout=20)
    assert telegraf.returncode == 0
    assert "I! [inputs.execd] inputs.libvirt[0] (test:///default): connected" in log
    complaints = [line for line in log.splitlines() if " E! " in line]
    # Telegraf closes the pipes of the ended plugin, and reports that itself.
    assert [line for line in complaints if "file already closed" not in line] == []


def test_a_plugin_that_is_killed_is_started_again(
    telegraf: subprocess.Popen[str], conf: Path
) -> None:
    """Telegraf restarts a killed plugin, and metrics continue."""
    output = conf.with_name("out.lp")
    assert eventually(lambda: output.exists() and len(stamps(output)) >= 1, 30)
    (pid,) = children(telegraf.pid)
    before = len(stamps(output))
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: len(stamps(output)) >= before + 3, 60)


def test_one_collection(conf: Path) -> None:
    """`telegraf --test` prints the metrics of one tick."""
    printed = finish(TELEGRAF, "--config", conf, "--test", env=environment())
    assert "> libvirt_state,domain_name=test" in printed


def stamps(output: Path) -> set[str]:
    """The timestamps in a file of line protocol."""
    return {line.rpartition(" ")[2] for line in output.read_text("utf-8").splitlines()}


def last_tick(output: Path) -> list[str]:
    """The lines with the newest timestamp."""
    newest = max(stamps(output))
    return [line for line in output.read_text("utf-8").splitlines() if line.endswith(newest)]
