"""Far daemons that are down, killed or stopped: metrics are back with the first tick after."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.readers import Reader, Readers
from support.relay import Relay
from support.transports import ALL, LIBSSH, SSH, TCP, TLS, Rig

# libssh leaves a descriptor open for each attempt that fails, in libvirt itself.
WITHOUT_LEAKS = [transport for transport in ALL if transport != "libssh"]

INTERVAL = 1.0
"""The time between ticks, where the plugin needs some to find out what has changed."""


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
    # A request in the same moment takes the end of a session away from libvirt's libssh2: it hangs
    # until keepalive ends it.
    time.sleep(0.2)
    for _ in range(3):
        assert readers.tick() == set()
    for host in rig.hosts:
        host.start_libvirtd()
    readers.check_up()
    readers.check_opened(before)
    check_messages(readers)


def test_the_daemon_is_down_at_first(rig: Rig, read: Callable[..., Reader]) -> None:
    """A libvirtd that is started after the plugin is found, also where its socket was missing."""
    for host in rig.hosts:
        host.kill()
        for socket in (host.read_only, host.read_write):
            socket.unlink()
    readers = Readers({transport: read(rig.uri(transport)) for transport in ALL})
    for _ in range(2):
        assert readers.tick() == set()
    for host in rig.hosts:
        host.start_libvirtd()
    readers.check_up()
    check_messages(readers)


def test_sshd_is_killed_and_comes_back(rig: Rig, read_all: Callable[..., Readers]) -> None:
    """The same for sshd and its sessions."""
    readers = read_all(SSH, *LIBSSH)
    rig.far.kill("sshd")
    for _ in range(3):
        assert readers.tick() == set()
    rig.sshd.start()
    readers.check_up()
    check_messages(readers)


@pytest.mark.parametrize("daemon", ["libvirtd", "sshd"])
def test_a_daemon_is_stopped(rig: Rig, read_all: Callable[..., Readers], daemon: str) -> None:
    """A daemon that answers nothing costs the ticks of that time, and leaves nothing open."""
    transports = WITHOUT_LEAKS if daemon == "libvirtd" else (SSH, "libssh2")
    readers = read_all(*transports, timeout="2s")
    before = readers.opened()
    hosts = rig.hosts if daemon == "libvirtd" else [rig.far]
    for host in hosts:
        host.pause(daemon)
    for _ in range(3):
        assert readers.tick() == set()
        time.sleep(INTERVAL)
    for host in hosts:
        host.resume(daemon)
    time.sleep(INTERVAL)
    readers.check_up()
    readers.check_opened(before)
    check_messages(readers)


def test_a_peer_that_never_answers(rig: Rig, read: Callable[..., Reader]) -> None:
    """It costs the tick's time; the ticks go on, and the attempts do not add up."""
    with Relay(silent=True) as relay:
        readers = Readers()
        for transport in (TCP, TLS, SSH, *LIBSSH):
            readers[transport] = read(rig.uri(transport, port=relay.port), timeout="500ms")
        begun = time.monotonic()
        for _ in range(4):
            assert readers.tick() == set()
        assert time.monotonic() - begun < 10
        assert len(readers) <= relay.connections <= 2 * len(readers)
        check_messages(readers)
