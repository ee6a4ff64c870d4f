"""The children that the program ends: those that began after it, and no others."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import Queue
from typing import Callable

import pytest

from support.plugin import SECONDS
from telegraf_execd_libvirt.program.children import Children


@pytest.fixture
def start() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start children that do not outlive the test."""
    with ExitStack() as stack:

        def start_sleep() -> subprocess.Popen[bytes]:
            child = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(child.kill)
            return child

        yield start_sleep


def test_a_later_child_ends(start: Callable[[], subprocess.Popen[bytes]]) -> None:
    """A child that began later is asked to end, an earlier one is not."""
    earlier, children, later = start(), Children(), start()
    children.end()
    assert later.wait(SECONDS) < 0
    assert earlier.poll() is None


@pytest.mark.parametrize("attempt", range(10))
def test_threads_end_while_children_are_listed(
    start: Callable[[], subprocess.Popen[bytes]], attempt: int
) -> None:
    """A thread that ends in this moment does not hide the children of the threads after it."""
    children, leave, stay = Children(), threading.Event(), threading.Event()
    started: Queue[subprocess.Popen[bytes]] = Queue()

    def start_a_child() -> None:
        started.put(start())
        stay.wait()

    threads = [threading.Thread(target=leave.wait) for _ in range(20)]
    threads.append(threading.Thread(target=start_a_child))
    for thread in threads:
        thread.start()
    child = started.get(timeout=SECONDS)
    leave.set()
    children.end()
    assert child.wait(SECONDS) < 0
    stay.set()
    for thread in threads:
        thread.join(SECONDS)
