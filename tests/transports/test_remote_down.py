"""Far daemons that are down, killed, stopped or cut off: metrics are back with the first tick
after, and nothing adds up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from signal import SIGKILL

import pytest

from support.process import send
from support.readers import Reader, Readers
from support.relay import Relay
from support.transports import ALL, DIGEST, LIBSSH, SCRAM, SSH, TCP, TLS, UNIX, Rig

# libssh leaves a descriptor open for each attempt that fails, in libvirt itself.
WITHOUT_LEAKS = [transport for transport in ALL if transport != "libssh"]


def check_messages(readers: Readers) -> None:
    """End the plugins; each had one message."""
    for transport, reader in readers.items():
        errors = reader.finish_with_errors()
        # libssh2 has two messages for the same thing, at random.
        assert len(errors) == 1 or (errors and transport in LIBSSH), reader.plugin.log.lines


def test_the_daemon_is_killed_and_comes_back(rig: Rig, read_all: Callable[..., Readers]) -> None:
    """Without libvirtd there are no metrics, and one message; with it they are back."""
    readers = read_all(*WITHOUT_LEAKS)
    before = readers.opened()
    for host in rig.hosts:
        host.kill()
    for _ in range(3):
        assert readers.tick() == set()
    for host in rig.hosts:
        host.start_libvirtd()
    readers.check_up()
    readers.check_opened(before)
    check_messages(readers)


@pytest.mark.parametrize("daemon", ["libvirtd", "sshd"])
def test_a_daemon_is_stopped(rig: Rig, read_all: Callable[..., Readers], daemon: str) -> None:
    """A daemon that answers nothing costs the ticks of that time, and leaves nothing open."""
    transports = WITHOUT_LEAKS if daemon == "libvirtd" else (SSH, "libssh2")
    readers = read_all(*transports, timeout="1s")
    before = readers.opened()
    hosts = rig.hosts if daemon == "libvirtd" else [rig.far]
    for host in hosts:
        host.pause(daemon)
    for _ in range(3):
        assert readers.tick() == set()
    for host in hosts:
        host.resume(daemon)
    # The plugin needs some time to find out what has changed.
    readers.until_all_up(forget=False)
    readers.check_opened(before)
    check_messages(readers)


@pytest.mark.parametrize("what", ["connections", "ssh", "sessions", "daemons"])
def test_a_cut(rig: Rig, read: Callable[..., Reader], what: str) -> None:
    """Something between the hosts drops TCP connections; the plugin's ssh, the far ends of SSH
    sessions or libvirtd are killed between two ticks. The first tick after each has metrics."""
    transports = {
        "connections": (TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH),
        "ssh": (SSH,),
        "sessions": (SSH, *LIBSSH),
        "daemons": (UNIX, TCP, TLS),
    }[what]
    (listener,) = rig.far.children("sshd")
    with ExitStack() as stack:
        relays = {
            name: stack.enter_context(Relay(rig.port(name)))
            for name in transports
            if what == "connections"
        }
        ports = {name: relay.port for name, relay in relays.items()}
        readers = Readers({name: read(rig.uri(name, port=ports.get(name))) for name in transports})

        def cut() -> None:
            if what == "connections":
                assert 0 not in [relay.cut() for relay in relays.values()]
            elif what == "daemons":
                rig.far.kill()
                rig.far.start_libvirtd()
            else:
                ssh = readers[SSH].children() if what == "ssh" else []
                found = {*ssh} or rig.far.pids("sshd") - {listener}
                assert found
                send(SIGKILL, found)

        readers.until_all_up()
        cut()
        readers.check_up()
        before = readers.opened()
        for _ in range(6):
            cut()
            readers.check_up()
        readers.check_opened(before)
        for transport, reader in readers.items():
            errors = reader.finish_with_errors()
            assert reader.slow or len(errors) == (transport in readers.unlucky)
