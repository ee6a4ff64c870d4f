"""Guests that several clients query at the same moment: no client loses a series silently.

A guest whose monitor another client uses may come incomplete, also when it is asked once more; its
line of health says so then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from support.hypervisor import Hypervisor
from support.ticks import Ticks

COLLECTIONS = 40


@contextmanager
def endless_domstats(hypervisor: Hypervisor) -> Iterator[None]:
    """Read the statistics with virsh, again and again."""
    loop = subprocess.Popen(
        ["sh", "-c", 'while virsh -q -c "$1" domstats; do :; done', "sh", hypervisor.uri],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        assert loop.poll() is None, "virsh failed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(loop.pid, signal.SIGKILL)
        loop.wait()


@pytest.mark.parametrize("others", ["a plugin", "virsh"])
def test_another_client_reads_all(
    hypervisor: Hypervisor, start: Callable[..., Ticks], others: str
) -> None:
    """Beside another plugin that is ticked at the same moment, or a loop of virsh, each tick has
    all fields of each guest or names it as incomplete, and some ticks are whole."""
    readers = [start().calm() for _ in range(2 if others == "a plugin" else 1)]
    whole = 0
    with ExitStack() as stack:
        if others == "virsh":
            stack.enter_context(endless_domstats(hypervisor))
        for _ in range(COLLECTIONS):
            for reader in readers:
                reader.plugin.tick()
            for reader in readers:
                tick = reader.next()
                assert reader.lacking(tick) == {*tick.troubled}
                assert tick.domains.keys() == reader.expected.keys()
                whole += tick.whole
    assert whole > 0
    for reader in readers:
        assert reader.until(lambda tick: tick.whole)
