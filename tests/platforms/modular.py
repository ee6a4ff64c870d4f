"""The tests of a hypervisor with a daemon for each driver, as Fedora, RHEL 9 and SUSE have it.

The rule: they run as root in a Debian of their own that has these daemons, and start them in its
/run. `test_platforms.py` builds that Debian and runs this file in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.metrics import fields_of
from support.plugin import Plugin, eventually, run
from support.process import Workspace, finish
from support.watcher import Watcher, write_config
from telegraf_execd_libvirt.sources import SOURCES

URI = "qemu:///system"
LEGACY = "qemu:///system?mode=legacy"

#: Each daemon, with a source that needs it.
DAEMONS = {"virtqemud": "snapshot", "virtstoraged": "storage_pool", "virtnetworkd": "network"}
PROXY = "virtproxyd"

#: Sources that need an agent or cgroups, which these guests do not have.
ELSEWHERE = ("cpu_limit", "guest_agent", "host_cpu", "memory_limit")

QEMU_CONF = """\
user = "root"
group = "root"
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
"""

GUEST = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""
POOL = "<pool type='dir'><name>pool</name><target><path>/srv</path></target></pool>"
NETWORK = "<network><name>net</name><forward mode='bridge'/><bridge name='hvbr7'/></network>"


class Daemons:
    """The daemons, each with its pid while it runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a daemon, and wait for its socket."""
        for path in Path("/run/libvirt").glob(f"{'libvirt' if name == PROXY else name}-sock*"):
            path.unlink()
        env = {**os.environ, "LIBVIRT_AUTO_START": "0"}
        self._running[name] = self._workspace.run(name, [f"/usr/sbin/{name}"], env)
        socket = "libvirt-sock" if name == PROXY else f"{name}-sock"
        assert eventually(Path("/run/libvirt", socket).is_socket), self._workspace.log(name)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a daemon."""
        self._running[name].send_signal(number)

    def end(self, name: str) -> None:
        """Kill a daemon."""
        self._running[name].kill()
        self._running[name].wait()


def virsh(*arguments: str, stdin: str = "") -> str:
    """Run a virsh command."""
    return finish("virsh", "-q", "-c", URI, *arguments, input=stdin)


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    """All daemons, with three guests, a pool and a network."""
    Path("/etc/libvirt").mkdir(exist_ok=True)
    Path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    Path("/run/libvirt").mkdir(exist_ok=True)
    with Workspace("modular") as workspace:
        daemons = Daemons(workspace)
        for name in (*DAEMONS, PROXY):
            daemons.start(name)
        for name in ("one", "two", "three"):
            virsh("define", "/dev/stdin", stdin=GUEST.format(name=name))
            virsh("start", name)
        virsh("pool-define", "/dev/stdin", stdin=POOL)
        virsh("pool-start", "pool")
        virsh("net-define", "/dev/stdin", stdin=NETWORK)
        yield daemons
        for name in ("one", "two", "three"):
            virsh("destroy", name)


@pytest.mark.parametrize("uri", [URI, LEGACY])
@pytest.mark.parametrize("metric_set", ["telegraf", "full"])
def test_all_sources(daemons: Daemons, tmp_path: Path, uri: str, metric_set: str) -> None:
    """Each set has the three guests, and no source has a problem that another host lacks."""
    names = " ".join(name for name in SOURCES if name not in ELSEWHERE)
    config = write_config(tmp_path / "plugin.conf", uri, names)
    text = config.read_text().replace('statistics_groups = ["state"]', "")
    config.write_text(
        text.replace("[[inputs.libvirt]]", f"[[inputs.libvirt]]\nmetric_set = '{metric_set}'")
    )
    done = run("--config", config, "--once")
    said = [line for line in done.stderr.splitlines() if line.startswith(("W!", "E!"))]
    # The kernel of the machine may be newer than what libvirt can read.
    assert done.returncode == 0 and all("cannot read the ARP table" in line for line in said)
    found = {
        dict(series[1]).get("domain_name") for series, _ in fields_of(done.stdout.splitlines())
    }
    assert {"one", "two", "three"} <= found
    assert "libvirt_storage_pool,pool=pool" in done.stdout and "network=net" in done.stdout


@pytest.mark.parametrize("how", ["stopped", "killed", "missing"])
@pytest.mark.parametrize("name", [*DAEMONS, PROXY])
def test_a_daemon_fails_and_returns(daemons: Daemons, tmp_path: Path, name: str, how: str) -> None:
    """While a daemon is stopped, killed or missing, what needs it is down, once in the log; all is
    back after its return."""
    legacy = name == PROXY
    sources = " ".join(DAEMONS.values())
    config = write_config(tmp_path / "plugin.conf", LEGACY if legacy else URI, sources)
    config.write_text(
        config.read_text().replace('interval = "1ms"', 'interval = "1ms"\ntimeout = "1s"')
    )
    uri = "qemu:///system"
    health = f"libvirt_source_health,libvirt_uri={uri},source="
    needs = DAEMONS.get(name, "snapshot")
    if how == "missing":
        daemons.end(name)
    with Plugin("--config", config) as plugin:
        watcher = Watcher(plugin)
        if how != "missing":
            for source in DAEMONS.values():
                watcher.wait_for(f"{health}{source} up=1i")
            plugin.metrics.forget()
            if how == "stopped":
                daemons.send(name, signal.SIGSTOP)
            else:
                daemons.end(name)
        central = name in ("virtqemud", PROXY)
        down = f"libvirt_health,libvirt_uri={uri} up=0i" if central else f"{health}{needs} up=0i"
        watcher.wait_for(down, 60)
        if how == "stopped":
            daemons.send(name, signal.SIGCONT)
        else:
            daemons.start(name)
        plugin.metrics.forget()
        for source in DAEMONS.values():
            watcher.wait_for(f"{health}{source} up=1i", 60)
        for guest in ("one", "two", "three"):
            watcher.wait_for(f"libvirt_state,domain_name={guest} state=1i")
        said = [line for line in plugin.log.lines if line.startswith(("W!", "E!"))]
        assert said and len(said) == len(set(said))
