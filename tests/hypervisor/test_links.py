"""Connections and attempts to connect, by made-up outcomes and times."""

from __future__ import annotations

from collections import deque
from typing import Any, Optional

import pytest

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.hypervisor.links import Links
from telegraf_execd_libvirt.hypervisor.messages import Close, Open, Opened, Say
from telegraf_execd_libvirt.hypervisor.patience import Backoff, Patience
from telegraf_execd_libvirt.hypervisor.voice import Voice

REFUSED, DENIED = LibvirtError(38, 7, "Connection refused"), LibvirtError(45, 0, "denied")


class Peer(Links):
    """Connections to a peer that answers as the test says."""

    def __init__(self, far: bool = False, keep: int = 1) -> None:
        self.patience = Patience(1.0)
        self.actions: deque[Any] = deque()
        voice, backoff = Voice("host", self.actions), Backoff(self.patience, far, max)
        super().__init__(voice, True, keep, 1.0, backoff)

    def did(self, kind: type) -> list[Any]:
        """All actions of a kind until now."""
        return [action for action in self.actions if isinstance(action, kind)]

    def attempt(self, now: float, error: Optional[LibvirtError] = None) -> bool:
        """An attempt that ends at once; False if none was made."""
        self.patience.tick(now)
        before = len(self.did(Open))
        self.connect(now)
        for action in self.did(Open)[before:]:
            self.opened(Opened(action.link, 0.0, error), now)
        return len(self.did(Open)) > before


def test_attempts_that_never_return_become_rarer() -> None:
    """An attempt that hangs is given up after 15 s and another one is made; from the fifth on each
    one gets twice the time of the one before. One that succeeds late is a connection as well."""
    peer, began = Peer(), []
    for second in range(300):
        assert peer.connect(100.0 + second)
        if len(peer.did(Open)) > len(began):
            began.append(second)
    assert began == [0, 16, 32, 48, 64, 95, 156, 277]
    assert peer.hanging() == len(began) == 1 + peer.hanging(can_wait=True)
    links = [action.link for action in peer.did(Open)]
    assert not any(peer.opened(Opened(link, 300.0), 400.0) for link in links)
    assert peer.hanging() == 0 and peer.open == peer.idle == links


def test_the_end_of_an_attempt_that_was_given_up() -> None:
    """The failure of an attempt that was given up is no news about the hypervisor."""
    peer = Peer()
    assert peer.connect(100.0) and peer.connect(120.0)
    old, current = (action.link for action in peer.did(Open))
    assert not peer.opened(Opened(old, 20.0, DENIED), 120.0) and peer.refusal is None
    assert peer.opened(Opened(current, 1.0, REFUSED), 121.0) and peer.refusal is REFUSED
    assert peer.hanging() == 0


@pytest.mark.parametrize("interval", [0.5, 1.0, 10.0, 30.0, 60.0])
def test_few_attempts_are_made_with_a_wrong_key(interval: float) -> None:
    """Twenty ticks make at most five attempts; the refusal stays known meanwhile. A daemon that is
    down is tried at each tick, as is a local one that denies access at rare ticks."""
    far, down, near = Peer(far=True), Peer(far=True), Peer()
    times = [100.0 + number * interval for number in range(20)]
    assert 3 <= sum(far.attempt(now, DENIED) for now in times) <= 5 and far.refusal is DENIED
    assert all(down.attempt(now, REFUSED) for now in times)
    assert all(near.attempt(now, DENIED) for now in times) == (interval == 60.0)


def test_a_dead_connection() -> None:
    """It is closed at once; only the next one that opens is a reconnect."""
    peer = Peer()
    peer.attempt(100.0)
    link = peer.idle.pop()
    peer.release(link, alive=True)
    assert peer.idle == [link] and not peer.did(Close)
    peer.release(peer.idle.pop(), alive=False)
    assert peer.did(Close) == [Close(link, lost=True)] and not peer.open
    peer.attempt(101.0, REFUSED)
    assert peer.reconnects == 0
    peer.attempt(102.0)
    assert peer.reconnects == 1 and len(peer.did(Open)) == 3


def test_connections_beside_hung_requests_are_closed_again() -> None:
    """Idle ones are closed down to those that stay beside those that still hang; never the one that
    gets events."""
    peer = Peer(keep=2)
    for _ in range(4):
        peer.attempt(100.0)
    first, busy, third, last = peer.open
    peer.idle.remove(busy)
    peer.close_spare(last, hanging=1)
    assert peer.did(Close) == [Close(third)]
    peer.close_spare(last, hanging=0)
    assert peer.did(Close) == [Close(third), Close(first)]
    assert peer.open == [busy, last] and peer.idle == [last]


@pytest.mark.parametrize("error", [REFUSED, DENIED, None])
def test_a_daemon_without_a_free_place(error: Optional[LibvirtError]) -> None:
    """If others work and another one fails or hangs, the log says so once, and the next attempts
    become rarer. One that is denied says nothing about the daemon's places."""
    peer = Peer()
    peer.attempt(100.0)
    for number in range(60):
        if error is not None:
            peer.attempt(101.0 + number, error)
        else:
            peer.connect(101.0 + number)
        peer.check_full(101.0 + number)
    assert len(peer.did(Open)) <= 8
    assert ["max_clients" in said.text for said in peer.did(Say)] == [True] * (error is not DENIED)


def test_a_refusal_beside_open_connections_counts_once() -> None:
    """The first refusal causes the first pause only, also if the host is far."""
    peer = Peer(far=True)
    peer.attempt(100.0)
    assert peer.attempt(101.0, DENIED)
    assert not peer.attempt(102.9) and peer.attempt(103.1)
