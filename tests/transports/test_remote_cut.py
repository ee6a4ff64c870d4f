"""Connections that are cut, again and again: metrics are back at once, and nothing adds up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from signal import SIGKILL

from support.process import send
from support.readers import Reader, Readers
from support.relay import Relay
from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TCP, TLS, UNIX, Rig


def check(readers: Readers, cut: Callable[[], None], times: int = 20) -> None:
    """The first tick after each cut has metrics, and nothing stays open."""
    readers.until_all_up()
    cut()
    readers.check_up()
    before = readers.opened()
    for _ in range(times):
        cut()
        readers.check_up()
    readers.check_opened(before)
    for reader in readers.values():
        errors = reader.finish_with_errors()
        assert reader.slow or errors == []


def test_connections_are_cut(rig: Rig, read: Callable[..., Reader]) -> None:
    """Something between the hosts drops TCP connections."""
    with ExitStack() as stack:
        relays = {
            transport: stack.enter_context(Relay(rig.port(transport)))
            for transport in (TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH)
        }

        def cut() -> None:
            for transport, relay in relays.items():
                assert relay.cut(), transport

        uris = {name: rig.uri(name, port=relay.port) for name, relay in relays.items()}
        check(Readers({name: read(uri) for name, uri in uris.items()}), cut)


def test_ssh_is_killed(rig: Rig, read: Callable[..., Reader]) -> None:
    """The plugin's ssh is killed."""
    reader = read(rig.uri(SSH))

    def kill() -> None:
        (ssh,) = reader.children()
        send(SIGKILL, {ssh})

    check(Readers({SSH: reader}), kill)


def test_sessions_are_killed(rig: Rig, read: Callable[..., Reader]) -> None:
    """The far ends of SSH sessions are killed."""
    (listener,) = rig.far.children("sshd")

    def kill() -> None:
        sessions = rig.far.pids("sshd") - {listener}
        assert sessions
        send(SIGKILL, sessions)

    check(Readers({name: read(rig.uri(name)) for name in (SSH, *LIBSSH)}), kill, times=5)


def test_daemons_are_restarted(rig: Rig, read: Callable[..., Reader]) -> None:
    """libvirtd is killed and started between two ticks."""

    def restart() -> None:
        rig.far.kill()
        rig.far.start_libvirtd()

    check(Readers({name: read(rig.uri(name)) for name in (UNIX, TCP, TLS)}), restart)
