"""Connection attempts that hang or are refused, by connections that a test makes up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty
from typing import Any, cast

import pytest

from support.plugin import SECONDS, eventually
from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.reader import Reader
from telegraf_execd_libvirt.hypervisor.patience import MOST_HANGING, Patience
from telegraf_execd_libvirt.hypervisor.pool import Pool
from telegraf_execd_libvirt.hypervisor.worker import Opened

REFUSED = LibvirtError(38, 7, "Connection refused")


class Hasty(Patience):
    """Gives up connection attempts very soon."""

    attempt_seconds = 0.02  # type: ignore[assignment]


class Peer:
    """Connections to it hang until `release` is set; then they fail if there is an `error`."""

    def __init__(self) -> None:
        self.attempts = 0
        self.error: LibvirtError | None = None
        self.release = threading.Event()

    def connect(self) -> Reader:
        """One attempt."""
        self.attempts += 1
        assert self.release.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return cast(Reader, Connected())


class Connected:
    """A connection that lives."""

    connection: Any = property(lambda self: self)

    def alive(self) -> bool:
        """Whether the connection lives."""
        return True

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer that does not answer; no attempt outlives the test."""
    before = threading.active_count()
    peer = Peer()
    yield peer
    peer.error = REFUSED
    peer.release.set()
    assert eventually(lambda: threading.active_count() <= before)


def attempt(pool: Pool, seconds: float) -> None:
    """Ask for a connection again and again, and handle what comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        while not pool.answers.empty():
            answer = pool.answers.get()
            assert isinstance(answer, Opened)
            pool.opened(answer)
        pool.connect()
        time.sleep(0.002)


def test_attempts_that_never_return_become_rarer(peer: Peer) -> None:
    """An attempt that hangs is given up and another one is made; from the fifth on each one gets
    twice the time of the one before."""
    pool = Pool(peer.connect, 1, Hasty(1.0))
    attempt(pool, 0.5)  # 25 attempts without that; 5, then after 0.04, 0.08 and 0.16 s one more
    assert MOST_HANGING + 1 < peer.attempts <= MOST_HANGING + 4
    assert peer.attempts == pool.hanging
    assert pool.connect()
    peer.release.set()
    hanging = pool.hanging
    for _ in range(hanging):
        assert not pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
    assert pool.hanging == 0
    workers = [pool.acquire() for _ in range(hanging + 1)]
    assert [worker is not None for worker in workers] == [True] * hanging + [False]
    for worker in workers:
        if worker is not None:
            worker.close()


def test_an_attempt_has_its_time(peer: Peer) -> None:
    """As long as an attempt is young, no other one is made."""
    pool = Pool(peer.connect, 1, Patience(1.0))
    attempt(pool, 0.2)
    assert peer.attempts == pool.hanging == 1


def test_the_end_of_an_attempt_that_was_given_up(peer: Peer) -> None:
    """The failure of an attempt that was given up is no news about the hypervisor."""
    pool = Pool(peer.connect, 1, Hasty(1.0))
    attempt(pool, 0.3)
    peer.error = LibvirtError(45, 0, "denied")
    peer.release.set()
    answers = [cast(Opened, pool.answers.get(timeout=SECONDS)) for _ in range(pool.hanging)]
    answers.sort(key=lambda answer: answer.worker.started)
    assert not any(pool.opened(answer) for answer in answers[:-1])
    assert pool.refusal is None
    assert pool.opened(answers[-1])
    assert pool.refusal is peer.error


def test_refusals_at_once_cause_no_pause(peer: Peer) -> None:
    """While attempts are refused at once, each tick makes one."""
    peer.error = REFUSED
    peer.release.set()
    pool = Pool(peer.connect, 1, Patience(1.0))
    for count in range(1, 6):
        assert pool.connect()
        assert pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
        assert peer.attempts == count and pool.refusal is REFUSED


def test_a_peer_that_hangs_up_and_refuses_by_turns(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost attempt is repeated at once, but refusals after it still become rarer."""
    denied = LibvirtError(45, 0, "denied")
    peer.release.set()
    now = time.monotonic() + 1e6
    pool = Pool(peer.connect, 1, Patience(1.0))
    outcomes = []
    for number in range(20):
        monkeypatch.setattr(time, "monotonic", lambda at=now + number: at)
        pool.tick()
        peer.error = REFUSED if outcomes[-1:] == [denied] else denied
        if pool.connect():
            pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
            outcomes.append(peer.error)
    assert outcomes[:4] == [denied, REFUSED, denied, REFUSED]
    assert len(outcomes) <= 10


@pytest.mark.parametrize("code", [45, 5])
def test_attempts_that_are_denied_become_rarer(peer: Peer, code: int) -> None:
    """After an attempt that cannot succeed soon there is a pause; the refusal stays known."""
    peer.error = LibvirtError(code, 0, "denied")
    peer.release.set()
    pool = Pool(peer.connect, 1, Patience(1.0))
    assert pool.connect()
    assert pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
    for _ in range(3):
        assert not pool.connect()
    assert peer.attempts == 1 and pool.refusal is peer.error


def test_few_attempts_are_made_with_a_wrong_key(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty ticks make at most five attempts, at the usual intervals."""
    peer.error = LibvirtError(45, 0, "denied")
    peer.release.set()
    for interval in (0.5, 1.0, 10.0, 30.0, 60.0):
        now = time.monotonic() + 1e6
        before = peer.attempts
        pool = Pool(peer.connect, 1, Patience(1.0))
        for number in range(20):
            monkeypatch.setattr(time, "monotonic", lambda at=now + number * interval: at)
            pool.tick()
            if pool.connect() and pool.hanging:
                pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
        assert 3 <= peer.attempts - before <= 5, interval
        monkeypatch.undo()


def test_a_local_daemon_that_denies_is_tried_soon(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host locks this one out, so pauses do not grow with the interval."""
    peer.error = LibvirtError(45, 0, "denied")
    peer.release.set()
    now = time.monotonic() + 1e6
    pool = Pool(peer.connect, 1, Patience(1.0), is_remote=False)
    for number in range(8):
        monkeypatch.setattr(time, "monotonic", lambda at=now + number * 60.0: at)
        pool.tick()
        assert pool.connect()
        pool.opened(cast(Opened, pool.answers.get(timeout=SECONDS)))
    assert peer.attempts == 8


@pytest.mark.smoke
def test_a_wait_for_no_time_ends() -> None:
    """A look for answers ends at once if there is none, however slow the process is just then."""
    answers = Pool(Peer().connect, 1, Patience(5.0)).answers
    none = cast(Opened, None)
    ended = threading.Event()
    looks: list[None] = []
    late = 0

    def be_busy() -> None:
        while not ended.is_set():
            pass

    def rescue() -> None:
        nonlocal late
        before = -1
        while not ended.wait(0.3):
            if len(looks) == before:
                late += 1
                answers.put(none)
            before = len(looks)

    threads = [threading.Thread(target=work) for work in (be_busy, rescue)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        answers.put(none)
        answers.get()
        with suppress(Empty):
            answers.get(timeout=0.0)
        looks.append(None)
    ended.set()
    for thread in threads:
        thread.join()
    assert late == 0
