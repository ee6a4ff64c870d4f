"""libvirt's own lines on stderr: kept for the error of the thread that wrote them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator

import libvirt
import pytest

from support.plugin import SECONDS, eventually
from telegraf_execd_libvirt.connection.client import ClientLog, takes_channels
from telegraf_execd_libvirt.log import log
from telegraf_execd_libvirt.program.output import divert


@pytest.fixture
def stderr(caplog: pytest.LogCaptureFixture) -> Iterator[int]:
    """A file descriptor in the place of stderr; messages are captured."""
    if not log.propagate:  # another test has started the log of the program
        log.addHandler(caplog.handler)
    caplog.set_level(logging.DEBUG, log.name)
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)  # the last write end: the thread that reads it ends
    log.removeHandler(caplog.handler)


@pytest.fixture
def client_log(stderr: int) -> ClientLog:
    """Libvirt's lines on this descriptor."""
    client_log = ClientLog(stderr)
    divert(stderr, claim=client_log.start())
    return client_log


def line(text: str, priority: str = "warning", thread: int | None = None) -> bytes:
    """A line as libvirt writes it."""
    number = threading.get_native_id() if thread is None else thread
    return f"2026-11-24 22:11:18.166+0000: {number}: {priority} : {text}\n".encode()


def test_the_reasons_of_a_thread(
    stderr: int, client_log: ClientLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread gets its own warnings, without time and place, once, also those just written."""
    for number in range(50):
        os.write(stderr, line("libvirt version: 9.0.0", "info"))
        os.write(stderr, line("checkCert:1086 : Certificate [session] owner does not match"))
        os.write(stderr, line("raise:1 : authentication failed", "error"))
        os.write(stderr, line("of another thread", thread=1))
        assert client_log.reasons() == ["Certificate [session] owner does not match"], number
    assert client_log.reasons() == []
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "libvirt: warning: of another thread" in caplog.messages


def test_the_reasons_of_another_thread_stay(stderr: int, client_log: ClientLog) -> None:
    """What a thread wrote waits for it, however often other threads ask."""
    found: list[str] = []
    written, asked = threading.Event(), threading.Event()

    def other() -> None:
        os.write(stderr, line("of the other"))
        written.set()
        asked.wait(SECONDS)
        found.extend(client_log.reasons())

    thread = threading.Thread(target=other)
    thread.start()
    assert written.wait(SECONDS)
    assert client_log.reasons() == []
    asked.set()
    thread.join(SECONDS)
    assert found == ["of the other"]


def test_other_lines_are_warnings(
    stderr: int, client_log: ClientLog, caplog: pytest.LogCaptureFixture
) -> None:
    """What other libraries print stays a warning."""
    os.write(stderr, b"something else\n2026-11-24: no line of libvirt's\n")
    assert client_log.reasons() == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "something else"),
        ("WARNING", "2026-11-24: no line of libvirt's"),
    ]


def test_the_lines_that_are_kept_are_bounded(stderr: int, client_log: ClientLog) -> None:
    """A flood of warnings that nobody asks for costs no memory; the newest are kept."""
    for number in range(1000):
        os.write(stderr, line(f"number {number}"))
    reasons: list[str] = []

    def newest() -> str:
        nonlocal reasons
        reasons = client_log.reasons()  # it waits for a moment only
        return (reasons or [""])[-1]

    assert eventually(lambda: newest() == "number 999")
    assert len(reasons) <= 100


def test_without_a_reader_nobody_waits() -> None:
    """In a program that does not divert its stderr there are no reasons, and no mark is written."""
    assert ClientLog(-1).reasons() == []


@pytest.mark.parametrize(
    ("dispatch", "safe"),
    [
        (None, False),
        (lambda self, dom, state, reason, data: None, False),
        (lambda self, dom, channel, state, reason, data: None, True),
    ],
)
def test_events_of_channels_need_their_name(
    monkeypatch: pytest.MonkeyPatch, dispatch: Callable[..., None] | None, safe: bool
) -> None:
    """Events of channels are asked for only if the binding passes the channel's name: otherwise it
    would take a number for an address."""
    name = "_dispatchDomainEventChannelLifecycleCallback"
    monkeypatch.setattr(libvirt.virConnect, name, dispatch, raising=False)
    assert takes_channels() is safe
