"""No signal is lost, whenever it comes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from telegraf_execd_libvirt.program.signals import Signals

NUMBERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """The recorded signals of this process, during the test."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    noting = Signals()
    yield noting
    os.close(signal.set_wakeup_fd(-1))
    os.close(noting.fd)
    for number, handler in before.items():
        signal.signal(number, handler)


def asked_with_a_signal_at(signals: Signals, step: int) -> tuple[bool, bool]:
    """The result of `take_tick` with a signal at this bytecode; and whether it was reached."""
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
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for traced frames only now
    sys.settrace(at_each_step)
    try:
        asked = signals.take_tick()
    finally:
        sys.settrace(before)
    return asked, steps >= step


@pytest.mark.parametrize("another", [False, True])
def test_a_signal_during_take_tick_is_not_lost(signals: Signals, another: bool) -> None:
    """A signal at any bytecode of `take_tick` is returned by that call or the next."""
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
    """Several signals before a tick are answered by that tick."""
    for number in NUMBERS[:3]:
        os.kill(os.getpid(), number)
    assert signals.take_tick()
    assert not signals.take_tick()
    assert signals.stop is None
