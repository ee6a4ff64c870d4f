"""How long requests and connection attempts may take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.hypervisor.patience import RETRY_PAUSES, Patience, pause_after


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
        ((0.2, 10.0), 1.6),
        ((0.2, 10.0, 10.0), 3.2),
        ((0.01, 10.0), 0.5),
        ((0.01, 10.0, 10.0), 1.0),
        ((0.2, 10.0, 0.2), 0.8),
    ],
)
def test_one_slow_tick_does_not_blunt_the_policy(ticks: tuple[float, ...], seconds: float) -> None:
    """The usual time follows the ticks, but at most doubles in one of them."""
    assert after(60.0, *ticks).seconds(0) == pytest.approx(seconds)


@pytest.mark.parametrize(("usual", "seconds"), [(0.0, 10.0), (0.02, 0.1), (0.3, 0.6)])
def test_the_time_until_another_request_may_start(usual: float, seconds: float) -> None:
    """A request that is slower than usual, or than half its patience at first, frees its place."""
    assert after(60.0, usual).slow_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(("timeout", "seconds"), [(0.1, 15.0), (5.0, 15.0), (10.0, 20.0)])
def test_the_age_of_a_connection_attempt(timeout: float, seconds: float) -> None:
    """An attempt is given up after twice the timeout, but not before 15 s."""
    assert Patience(timeout).attempt_seconds == seconds


def test_attempts_become_rarer() -> None:
    """The pause between refused attempts doubles, up to a minute."""
    pauses = [0.0]
    while len(pauses) < 10:
        pauses.append(pause_after(pauses[-1]))
    assert pauses[1:] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_attempts_become_rarer_by_ticks() -> None:
    """If ticks are rare, the pause begins with two intervals and grows to sixteen."""
    pauses = [0.0]
    while len(pauses) < 7:
        pauses.append(pause_after(pauses[-1], 10.0))
    assert pauses[1:] == [20, 40, 80, 160, 160, 160]
    assert pause_after(0.0, 3600.0) == pause_after(500.0, 60.0) == 600


def test_many_attempts_that_hang_get_more_time() -> None:
    """Beside four attempts that were given up, the age doubles with each further one."""
    patience = Patience(5.0)
    ages = [patience.attempt_age(given_up) for given_up in range(8)]
    assert ages == [15, 15, 15, 15, 30, 60, 120, 240]
    assert patience.attempt_age(1000) == 3600


def test_a_busy_guest_is_asked_again_for_half_a_second() -> None:
    """The pauses before another request for a busy guest grow, and last about half a second."""
    assert list(RETRY_PAUSES) == sorted(RETRY_PAUSES)
    assert 0.4 <= sum(RETRY_PAUSES) <= 0.6
