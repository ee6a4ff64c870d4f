"""Nothing of the plugin is left after its end while ssh hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from support.plugin import Plugin, eventually
from support.process import children, send
from support.relay import Relay
from support.transports import SSH, Rig

# A child that the plugin did not start, but has: the shell that started it became the plugin.
UNRELATED = ("sh", "-c", 'sleep 1000 </dev/null >/dev/null 2>&1 & exec "$@"', "sh")

ENDS: dict[str, Callable[[Plugin], object]] = {
    "SIGTERM": lambda plugin: plugin.signal(SIGTERM),
    "SIGINT": lambda plugin: plugin.signal(SIGINT),
    "end of stdin": lambda plugin: plugin.end_input(),
}


def command(pid: int) -> str:
    """The command line of a living process, or nothing."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Hanging:
    """A plugin with a child that is not its own, for the time of the stack."""

    def __init__(self, rig: Rig, stack: ExitStack, end: str, uri: str) -> None:
        text = f"[[inputs.libvirt]]\nlibvirt_uri = '''{uri}'''\ntimeout = '1s'\n"
        config = rig.near.write(f"plugin {end}.conf", text)
        self.end = end
        self.plugin = stack.enter_context(
            Plugin(
                *([end] if end.startswith("--") else []),
                *("--config", config),
                prefix=(*rig.near.prefix, *UNRELATED),
                env=rig.near.environment(),
            )
        )
        assert eventually(lambda: self.children("sleep"))
        (self.other,) = self.children("sleep")
        stack.callback(send, SIGKILL, {self.other})

    def children(self, program: str) -> list[int]:
        """The children that run a program."""
        found = ((pid, command(pid).partition(" ")[0]) for pid in children(self.plugin.pid))
        return [pid for pid, name in found if name.rpartition("/")[2] == program]

    def tick_until(self, condition: Callable[[], object]) -> None:
        """Tick until the condition holds."""

        def tried() -> object:
            self.plugin.tick()
            time.sleep(0.2)
            return condition()

        assert eventually(tried), self.plugin.log.lines

    def check_end(self) -> None:
        """End the plugin while its ssh hangs; its ssh vanishes, the other child does not."""
        ssh = [pid for pid in children(self.plugin.pid) if pid != self.other]
        assert self.children("ssh")
        ENDS.get(self.end, lambda plugin: None)(self.plugin)
        self.plugin.process.wait(60)
        assert eventually(lambda: not any(map(command, ssh))), f"{self.end}: left behind"
        assert command(self.other), f"{self.end}: the other child was ended as well"


@pytest.mark.parametrize("end", [*ENDS, "--once", "--check"])
def test_while_it_connects(rig: Rig, end: str) -> None:
    """The far sshd does not even answer; no file of the attempt is left either."""
    known_hosts = rig.near.write("known_hosts", rig.known_hosts())
    before = {*rig.near.temporary.iterdir()}
    with ExitStack() as stack:
        relay = stack.enter_context(Relay(silent=True))
        uri = rig.uri(SSH, port=relay.port, known_hosts=known_hosts)
        hanging = Hanging(rig, stack, end, uri)
        if not end.startswith("--"):
            hanging.plugin.tick()
        assert eventually(lambda: relay.connections and hanging.children("ssh"))
        hanging.check_end()
    assert {*rig.near.temporary.iterdir()} <= before


@pytest.mark.parametrize("end", ENDS)
def test_while_a_call_hangs(rig: Rig, end: str) -> None:
    """sshd and its sessions stop while the plugin is connected."""
    with ExitStack() as stack:
        hanging = Hanging(rig, stack, end, rig.uri(SSH))
        hanging.tick_until(lambda: hanging.plugin.states)
        rig.far.pause("sshd")
        hanging.tick_until(lambda: "does not answer" in hanging.plugin.log.text)
        hanging.check_end()
