"""The children that the program ends: those that began after it, and no others."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack

from telegraf_execd_libvirt.children import Children

SLEEP = ["sleep", "60"]


def test_a_later_child_ends() -> None:
    """A child that began later is asked to end, an earlier one is not."""
    with subprocess.Popen(SLEEP) as earlier:
        children = Children()
        with subprocess.Popen(SLEEP) as later:
            children.end()
            assert later.wait(10) < 0
        assert earlier.poll() is None
        earlier.kill()


def test_threads_end_while_children_are_listed() -> None:
    """A thread that ends in this moment does not hide the children of the threads after it."""
    for _ in range(50):
        with ExitStack() as stack:
            children = Children()
            leave, stay = threading.Event(), threading.Event()
            leaving = [threading.Thread(target=leave.wait) for _ in range(20)]
            started: list[subprocess.Popen[bytes]] = []

            def start_a_child(
                stay: threading.Event = stay, started: list[subprocess.Popen[bytes]] = started
            ) -> None:
                started.append(subprocess.Popen(SLEEP))
                stay.wait()

            parent = threading.Thread(target=start_a_child)
            for thread in (*leaving, parent):
                thread.start()
                stack.callback(thread.join)
            stack.callback(stay.set)
            while not started:
                pass
            child = stack.enter_context(started[0])
            stack.callback(child.kill)
            leave.set()
            children.end()
            assert child.wait(10) < 0
