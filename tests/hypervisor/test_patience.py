"""How long requests and connection attempts may take, and the pauses after refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.hypervisor.patience import RETRY_PAUSES, Backoff, Patience, TickTimes


def after(timeout: float, *ticks: float) -> Patience:
    """The patience after ticks whose longest requests took this long."""
    patience = Patience(timeout)
    for seconds in ticks:
        patience.learn(seconds)
    return patience


@pytest.mark.parametrize(
    ("timeout", "ticks", "repeats", "seconds"),
    [
        # Nothing is known: a third of the timeout, and less for each repeat.
        (6.0, (), 0, 2.0),
        (6.0, (), 1, 1.0),
        (6.0, (), 2, 0.5),
        # A fast hypervisor.
        (6.0, (0.02,), 0, 0.5),
        (6.0, (0.02,), 1, 0.25),
        (6.0, (0.02,), 2, 0.125),
        (6.0, (0.02,), 3, 0.1),
        (6.0, (0.02,), 9, 0.1),
        # A slow one: four times its usual time, and a repeat has twice its usual time.
        (6.0, (0.3,), 0, 1.2),
        (6.0, (0.3,), 1, 0.6),
        (6.0, (0.3,), 2, 0.6),
        # Never longer than a third of the timeout.
        (6.0, (1.0,), 0, 2.0),
        (0.6, (0.01,), 0, 0.2),
    ],
)
def test_the_time_for_a_request(
    timeout: float, ticks: tuple[float, ...], repeats: int, seconds: float
) -> None:
    """The time depends on the usual time, the timeout, and the number of repeats."""
    assert after(timeout, *ticks).seconds(repeats) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("interval", "usual", "seconds"),
    [(1.0, 0.02, 0.25), (0.1, 0.02, 0.25), (3.0, 0.02, 0.5), (3.0, 0.2, 0.75), (1.0, 0.4, 0.8)],
)
def test_short_intervals_need_short_patience(interval: float, usual: float, seconds: float) -> None:
    """A request that hangs and the search for the reason together delay the others by half an
    interval, but no request is given up before twice its usual time."""
    patience = after(6.0, usual)
    patience.interval = interval
    assert patience.seconds(0) == pytest.approx(seconds)


@pytest.mark.parametrize(("usual", "seconds"), [(0.0, 0.1), (0.02, 0.1), (0.3, 0.6)])
def test_the_time_for_a_look_up(usual: float, seconds: float) -> None:
    """Looking one domain up takes no time, unless the network is slow."""
    assert after(6.0, usual).lookup_seconds == pytest.approx(seconds)


@given(
    st.floats(0.1, 60),
    st.lists(st.floats(0, 60), max_size=5),
    st.integers(0, 40),
)
def test_the_first_request_waits_for_a_third_of_the_timeout(
    timeout: float, ticks: list[float], repeats: int
) -> None:
    """The first request has at most a third of the timeout, and a repeat at least a moment."""
    patience = after(timeout, *ticks)
    assert 0 < patience.seconds(0) <= timeout / 3
    assert patience.seconds(repeats) >= min(0.1, timeout / 3)
    assert patience.seconds(repeats + 1) <= max(patience.seconds(max(1, repeats)), timeout / 3)


@pytest.mark.parametrize(
    ("ticks", "seconds"),
    [
        ((0.2,), 0.8),
        ((0.2, 0.1), 0.5),
        ((0.2, 10.0), 0.8),
        ((0.2, 10.0, 10.0), 1.6),
        ((0.01, 10.0), 0.5),
        ((0.01, 10.0, 10.0), 0.5),
        ((0.2, 10.0, 0.2), 0.8),
    ],
)
def test_one_slow_tick_does_not_blunt_the_policy(ticks: tuple[float, ...], seconds: float) -> None:
    """The usual time is that of the shorter one of two ticks, and at most doubles in one."""
    assert after(60.0, *ticks).seconds(0) == pytest.approx(seconds)


@pytest.mark.parametrize(("usual", "seconds"), [(0.0, 10.0), (0.02, 0.1), (0.3, 0.6)])
def test_the_time_until_another_request_may_start(usual: float, seconds: float) -> None:
    """A request that is slower than usual, or than half its patience at first, frees its place."""
    assert after(60.0, usual).slow_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(("timeout", "seconds"), [(0.1, 15.0), (5.0, 15.0), (10.0, 20.0)])
def test_the_age_of_a_connection_attempt(timeout: float, seconds: float) -> None:
    """An attempt is given up after twice the timeout, but not before 15 s."""
    assert Patience(timeout).attempt_seconds == seconds


def test_many_attempts_that_hang_get_more_time() -> None:
    """Beside four attempts that were given up, the age doubles with each further one."""
    patience = Patience(5.0)
    ages = [patience.attempt_age(abandoned) for abandoned in range(8)]
    assert ages == [15, 15, 15, 15, 30, 60, 120, 240]
    assert patience.attempt_age(1000) == 3600


def test_a_busy_guest_is_asked_again_for_half_a_second() -> None:
    """The pauses before another request for a busy guest grow, and last about half a second."""
    assert list(RETRY_PAUSES) == sorted(RETRY_PAUSES)
    assert 0.4 <= sum(RETRY_PAUSES) <= 0.6


DENIED, WRONG_URI, FAILED = (LibvirtError(code, 0, "") for code in (45, 5, 1))


def backoff(*ticks: float, far: bool = False) -> Backoff:
    """A back-off after ticks at these times, with the longest pauses."""
    times = TickTimes()
    for at in ticks:
        times.note(at)
    return Backoff(times, far, max)


def pauses(found: Backoff, count: int, error: LibvirtError = DENIED) -> list[float]:
    """The pauses after failures one after another, each as soon as it is allowed."""
    now, result = 1000.0, []
    for _ in range(count):
        found.failed(error, 0.0, now)
        assert found.allows(now + found.pause) and not found.allows(now + found.pause - 0.01)
        result.append(found.pause)
        now += found.pause
    return result


def test_the_interval_of_ticks() -> None:
    """The shorter one of the last two counts: one late tick does not make it long."""
    times, found = TickTimes(), []
    for at in (100.0, 101.0, 105.0, 106.0, 116.0, 126.0):
        times.note(at)
        found.append(times.interval)
    assert found == [0, 1, 1, 1, 1, 10]


def test_refusals_become_rarer() -> None:
    """The pause doubles, up to a minute. For a far host, which may lock this one out, it begins
    with two intervals of ticks and grows to sixteen, at most ten minutes."""
    expected = [1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses(backoff(), 8) == pauses(backoff(100, 160), 8, WRONG_URI) == expected
    assert pauses(backoff(100, 110, far=True), 5) == [20, 40, 80, 160, 160]
    assert pauses(backoff(100, 3700, far=True), 2) == [600, 600]


def test_failures_at_once_cause_no_pause() -> None:
    """What fails at once is tried at each tick, but refusals after it still become rarer, until a
    success. What takes long to fail is not tried at once."""
    found = backoff()
    for pause in (1, 2, 4):
        found.failed(DENIED, 0.0, 1000.0)
        assert found.pause == pause
        found.failed(FAILED, 0.9, 1000.0)
        assert found.allows(1000.0)
    found.succeeded()
    found.failed(FAILED, 1.1, 1000.0)
    assert found.pause == 1 and not found.allows(1000.9) and found.allows(1001.0)
