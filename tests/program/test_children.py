"""The children that the program ends: those that began after it, and no others."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack
from queue import Queue

from telegraf_execd_libvirt.program.children import Children

SLEEP = ["sleep", "60"]


def start_sleep(stack: ExitStack) -> subprocess.Popen[bytes]:
    """A child that does not outlive the stack."""
    child = stack.enter_context(subprocess.Popen(SLEEP))
    stack.callback(child.kill)
    return child


def test_a_later_child_ends() -> None:
    """A child that began later is asked to end, an earlier one is not."""
    with ExitStack() as stack:
        earlier = start_sleep(stack)
        children = Children()
        later = start_sleep(stack)
        children.end()
        assert later.wait(10) < 0
        assert earlier.poll() is None


def test_threads_end_while_children_are_listed() -> None:
    """A thread that ends in this moment does not hide the children of the threads after it."""
    for _ in range(50):
        with ExitStack() as stack:
            children = Children()
            leave, stay = threading.Event(), threading.Event()
            started: Queue[subprocess.Popen[bytes]] = Queue()

            def start_a_child(
                stack: ExitStack = stack,
                stay: threading.Event = stay,
                started: Queue[subprocess.Popen[bytes]] = started,
            ) -> None:
                started.put(start_sleep(stack))
                stay.wait()

            leaving = [threading.Thread(target=leave.wait) for _ in range(20)]
            for thread in (*leaving, threading.Thread(target=start_a_child)):
                thread.start()
                stack.callback(thread.join)
            stack.callback(leave.set)
            stack.callback(stay.set)
            child = started.get(timeout=10)
            leave.set()
            children.end()
            assert child.wait(10) < 0
