"""How long requests and connection attempts may take, and the pauses after refusals."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.hypervisor.patience import (
    RETRY_PAUSES,
    Backoff,
    Patience,
    attempt_age,
    attempt_seconds,
)


def after(timeout: float, *ticks: float, interval: float = 0.0) -> Patience:
    """The patience after ticks whose longest requests took this long."""
    patience = Patience(timeout)
    for seconds in ticks:
        patience.learn(seconds)
    patience.interval = interval
    return patience


@pytest.mark.parametrize(
    ("timeout", "ticks", "interval", "seconds"),
    [
        # Nothing is known: a third of the timeout, and less for each repeat.
        (6.0, [], 0.0, [2.0, 1.0, 0.5]),
        # A fast hypervisor.
        (6.0, [0.02], 0.0, [0.5, 0.25, 0.125, 0.1, 0.1]),
        # A slow one: four times its usual time, and a repeat has twice its usual time.
        (6.0, [0.3], 0.0, [1.2, 0.6, 0.6]),
        # Never longer than a third of the timeout.
        (6.0, [1.0], 0.0, [2.0]),
        (0.6, [0.01], 0.0, [0.2, 0.1]),
        (0.6, [1.0], 0.0, [0.2]),
        (0.3, [0.02], 1.0, [0.1]),
        # A short interval: with the search for the reason it is half an interval, but no request
        # is given up before twice its usual time.
        (6.0, [0.02], 1.0, [0.25]),
        (6.0, [0.02], 0.1, [0.25]),
        (6.0, [0.02], 3.0, [0.5]),
        (6.0, [0.2], 3.0, [0.75]),
        (6.0, [0.4], 1.0, [0.8]),
        # The usual time is that of the shorter one of two ticks, and at most doubles in one.
        (60.0, [0.2], 0.0, [0.8]),
        (60.0, [0.2, 0.1], 0.0, [0.5]),
        (60.0, [0.2, 10.0], 0.0, [0.8]),
        (60.0, [0.2, 10.0, 10.0], 0.0, [1.6]),
        (60.0, [0.01, 10.0], 0.0, [0.5]),
        (60.0, [0.01, 10.0, 10.0], 0.0, [0.5]),
        (60.0, [0.2, 10.0, 0.2], 0.0, [0.8]),
    ],
)
def test_the_time_for_a_request(
    timeout: float, ticks: list[float], interval: float, seconds: list[float]
) -> None:
    """It depends on the timeout, the usual time, the interval, and the number of repeats."""
    patience = after(timeout, *ticks, interval=interval)
    assert [patience.seconds(repeats) for repeats in range(len(seconds))] == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("usual", "look_up", "slow"), [(0.0, 0.1, 10.0), (0.02, 0.1, 0.1), (0.3, 0.6, 0.6)]
)
def test_the_time_for_a_look_up_and_until_another_request(
    usual: float, look_up: float, slow: float
) -> None:
    """Looking one domain up takes no time, unless the network is slow. A request that is slower
    than usual, or than half its patience at first, frees its place."""
    patience = after(60.0, usual)
    assert patience.lookup_seconds == pytest.approx(look_up)
    assert patience.slow_seconds() == pytest.approx(slow)


def test_the_age_of_a_connection_attempt() -> None:
    """An attempt is given up after twice the timeout, but not before 15 s. Beside four attempts
    that were given up, the age doubles with each further one, up to an hour."""
    assert [attempt_seconds(timeout) for timeout in (0.1, 5.0, 10.0)] == [15, 15, 20]
    ages = [attempt_age(5.0, abandoned) for abandoned in (0, 3, 4, 5, 6, 7, 1000)]
    assert ages == [15, 15, 30, 60, 120, 240, 3600]


def test_a_busy_guest_is_asked_again_for_half_a_second() -> None:
    """The pauses before another request for a busy guest grow, and last about half a second."""
    assert list(RETRY_PAUSES) == sorted(RETRY_PAUSES)
    assert 0.4 <= sum(RETRY_PAUSES) <= 0.6


DENIED, WRONG_URI, FAILED = (LibvirtError(code, 0, "") for code in (45, 5, 1))


@pytest.mark.parametrize(
    ("ticks", "far", "error", "expected"),
    [
        ([], False, DENIED, [1, 2, 4, 8, 16, 32, 60, 60]),
        ([100, 160], False, WRONG_URI, [1, 2, 4, 8, 16, 32, 60, 60]),
        ([100, 110], True, DENIED, [20, 40, 80, 160, 160]),
        ([100, 3700], True, DENIED, [600, 600]),
    ],
)
def test_refusals_become_rarer(
    ticks: list[float], far: bool, error: LibvirtError, expected: list[float]
) -> None:
    """The pause doubles, up to a minute. For a far host, which may lock this one out, it begins
    with two intervals of ticks and grows to sixteen, at most ten minutes."""
    times, now, pauses = Patience(5.0), 1000.0, []
    for at in ticks:
        times.tick(at)
    backoff = Backoff(times, far, max)
    for _ in expected:
        backoff.failed(error, 0.0, now)
        now += backoff.pause
        assert backoff.allows(now) and not backoff.allows(now - 0.01)
        pauses.append(backoff.pause)
    assert pauses == expected


def test_the_interval_of_ticks() -> None:
    """The median of the last seven counts: some late ticks do not make it long, a change does."""
    times, found = Patience(5.0), []
    for at in (100, 101, 105, 106, 116, 117, 118, 128, 138, 148):
        times.tick(float(at))
        found.append(times.interval)
    assert found == [0, 1, 1, 1, 1, 1, 1, 1, 4, 10]


def test_failures_at_once_cause_no_pause() -> None:
    """What fails at once is tried at each tick, but refusals after it still become rarer, until a
    success. What takes long to fail is not tried at once."""
    backoff = Backoff(Patience(5.0), False, max)
    for pause in (1, 2, 4):
        backoff.failed(DENIED, 0.0, 1000.0)
        assert backoff.pause == pause
        backoff.failed(FAILED, 0.9, 1000.0)
        assert backoff.allows(1000.0)
    backoff.succeeded()
    backoff.failed(FAILED, 1.1, 1000.0)
    assert backoff.pause == 1 and not backoff.allows(1000.9) and backoff.allows(1001.0)
