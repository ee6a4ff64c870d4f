"""The read-write connections of the source guest_agent, and what it leaves behind."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import AT_ONCE, Plugin, eventually
from support.server import GET_GUEST_INFO, Daemon


def with_agent(hypervisor: Daemon) -> str:
    """A configuration with the source guest_agent, and a domain whose agent is connected."""
    hypervisor.xml = (
        "<domain><devices><channel>"
        "<target name='org.qemu.guest_agent.0' state='connected'/></channel></devices></domain>"
    )
    return (
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["guest_agent"]\n'
        '[inputs.libvirt.guest_agent]\ninterval = "1ms"'
    )


def test_a_refused_connection_is_one_login(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """All guests of a source share the refusal of its connection: by ssh each is a login."""
    hypervisor = daemon(read_only=True)
    plugin = start("--config", config(with_agent(hypervisor)))
    plugin.tick()
    plugin.wait_for_message("guest_agent: ")
    assert plugin.finish() == 0
    assert hypervisor.connections == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_timeout_of_an_agent_is_restored_at_the_end(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    number: signal.Signals,
) -> None:
    """If a signal ends the program while an agent is asked, the timeout of that agent, which holds
    for all clients, is libvirt's default again; a daemon that hangs does not delay the end."""
    hypervisor = daemon()
    hypervisor.unanswered = {GET_GUEST_INFO}
    plugin = start("--config", config(with_agent(hypervisor)))
    plugin.tick()
    assert eventually(lambda: GET_GUEST_INFO in hypervisor.asked)
    assert hypervisor.agent_timeout == 2
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert hypervisor.agent_timeout == -2
