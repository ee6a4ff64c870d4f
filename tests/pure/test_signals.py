"""Signals are noted at whatever moment they come."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from telegraf_execd_libvirt.signals import Signals

NUMBERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Notes the signals of this process for as long as the test takes."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    noting = Signals()
    yield noting
    os.close(signal.set_wakeup_fd(-1))
    os.close(noting.fd)
    for number, handler in before.items():
        signal.signal(number, handler)


def asked_with_a_signal_at(signals: Signals, step: int) -> tuple[bool, bool]:
    """What `take_tick` says with a signal at this of its bytecodes; and whether there was one."""
    steps = 0

    def at_each_step(frame: FrameType, event: str, argument: object) -> object:
        nonlocal steps
        if frame.f_code is not Signals.take_tick.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGHUP)
        return at_each_step

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for such a frame only now
    sys.settrace(at_each_step)
    try:
        asked = signals.take_tick()
    finally:
        sys.settrace(before)
    return asked, steps >= step


@pytest.mark.parametrize("another", [False, True])
def test_a_signal_during_the_look_for_one_is_not_lost(signals: Signals, another: bool) -> None:
    """Wherever in the taking of a tick a signal comes, that call or the next one tells of it."""
    for step in range(1, 1000):
        if another:
            os.kill(os.getpid(), signal.SIGUSR1)
        asked, sent = asked_with_a_signal_at(signals, step)
        if not sent:
            break
        assert asked or signals.take_tick(), f"the signal at bytecode {step} is lost"
        assert asked or not another
        signals.take_tick()
        assert not signals.take_tick()
    assert 5 < step < 999


def test_several_signals_are_one_tick(signals: Signals) -> None:
    """Signals that came before a tick began are all answered by it."""
    for number in NUMBERS[:3]:
        os.kill(os.getpid(), number)
    assert signals.take_tick()
    assert not signals.take_tick()
    assert signals.stop is None
