"""Guests that several clients query at the same moment: no client loses a series silently.

A guest whose monitor another client uses may come incomplete, also when it is asked once more; its
line of health says so then.
"""

from __future__ import annotations

from collections.abc import Callable

from support.ticks import Ticks

COLLECTIONS = 40


def test_another_client_reads_all(start: Callable[..., Ticks]) -> None:
    """Of two plugins that are ticked at the same moment, each has at each tick all fields of each
    guest or names it as incomplete, and some ticks are whole."""
    readers = [start().calm(), start().calm()]
    whole = 0
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
