"""The real Telegraf with examples/telegraf.conf, if it is installed.

No distribution has Telegraf, so it is the only component that any machine may lack.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import ROOT
from support.metrics import fields_of
from support.plugin import environment, eventually
from support.process import Workspace, children

TELEGRAF = shutil.which("telegraf")

pytestmark = pytest.mark.skipif(TELEGRAF is None, reason="needs Telegraf, an executable on PATH")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The example with this checkout's plugin, libvirt's test driver and an output file."""
    plugin, path = tmp_path / "plugin.conf", tmp_path / "telegraf.conf"
    plugin.write_text(
        '[[inputs.libvirt]]\n  libvirt_uri = "test:///default"\n'
        '  additional_statistics = ["health"]\n'
    )
    command = [sys.executable, "-m", "telegraf_execd_libvirt", "--config", str(plugin)]
    text = (ROOT / "examples" / "telegraf.conf").read_text("utf-8")
    for old, new in {
        '["telegraf-execd-libvirt", "--config", "/etc/telegraf-execd-libvirt.conf"]': command,
        '["stdout"]': [str(tmp_path / "out.lp")],
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, json.dumps(new))
    agent = '  interval = "10s"\n  flush_interval = "10s"\n'
    assert text.count(agent) == 1
    path.write_text(text.replace(agent, agent.replace("10s", "1s")), "utf-8")
    return path


def test_a_running_telegraf(conf: Path) -> None:
    """Metrics of several ticks arrive. Telegraf restarts a killed plugin, and metrics continue. It
    stops the plugin without an error."""
    output = conf.with_name("out.lp")

    def stamps() -> list[str]:
        lines = output.read_text("utf-8").splitlines() if output.exists() else []
        return sorted({line.rpartition(" ")[2] for line in lines})

    def complaints() -> list[str]:
        # Telegraf closes the pipes of the ended plugin, and reports that itself. Older releases
        # take all lines of stderr as errors.
        lines = re.sub(
            r'E! (\[inputs.execd\] )stderr: "I! ', r"I! \1", log.read_text()
        ).splitlines()
        return [line for line in lines if " E! " in line and "file already closed" not in line]

    with Workspace("telegraf") as workspace:
        log = workspace.log("telegraf")
        command = [str(TELEGRAF), "--config", str(conf)]
        telegraf = workspace.run("telegraf", command, environment())
        assert eventually(lambda: len(stamps()) >= 3, 30)
        last = [line for line in output.read_text().splitlines() if line.endswith(stamps()[-1])]
        names = {series[0] for series, _ in fields_of(last)}
        assert {"libvirt_state", "libvirt_block", "libvirt_net", "libvirt_health"} <= names
        connected = r"\[inputs.execd\].* inputs.libvirt\[0\] \(test:///default\): connected"
        assert re.search(connected, log.read_text())
        assert complaints() == []

        (pid,) = children(telegraf.pid)
        os.kill(pid, signal.SIGKILL)
        before = len(stamps())
        assert eventually(lambda: len(stamps()) >= before + 3, 60)
        killed = complaints()
        telegraf.terminate()
        assert telegraf.wait(60) == 0
        assert complaints() == killed


def test_one_collection(conf: Path) -> None:
    """`telegraf --test` prints the metrics of one tick. Older releases give the status 1, as a line
    of stderr is an error for them. Telegraf ends the plugin five seconds after the tick, which is
    before its start on a busy host: then it has to wait for longer."""
    for wait in ("0", "30"):
        command = [str(TELEGRAF), "--config", str(conf), "--test", "--test-wait", wait]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        assert done.returncode in (0, 1)
        if done.stdout:
            break
    assert "> libvirt_state,domain_name=test" in done.stdout
