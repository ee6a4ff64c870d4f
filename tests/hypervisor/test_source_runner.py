"""A source at work: what is a failure, when it is fetched, what is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from support.plugin import TEST_DRIVER, eventually
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.hanging_sources import Hanging
from telegraf_execd_libvirt.hypervisor.hypervisor import Hypervisor
from telegraf_execd_libvirt.hypervisor.lane import Fetched
from telegraf_execd_libvirt.hypervisor.patience import MOST_FETCHES
from telegraf_execd_libvirt.hypervisor.report import Report
from telegraf_execd_libvirt.hypervisor.rhythm import Rhythm
from telegraf_execd_libvirt.hypervisor.source_runner import SourceRunner, failure
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.scope import Scope

SECOND = 1_000_000_000
INVALID, LOST, DENIED = (
    LibvirtError(55, 10, "no"),
    LibvirtError(38, 7, "cut"),
    LibvirtError(45, 7, ""),
)


def test_kinds_of_the_errors() -> None:
    """The errors of this file are of different kinds."""
    kinds = [error.kind for error in (INVALID, LOST, DENIED)]
    assert kinds == [ErrorKind.GONE, ErrorKind.LOST, ErrorKind.DENIED]


def test_a_call_that_fails_beside_others_is_no_failure_of_the_source() -> None:
    """A source with several connections fails if none was answered, or one is lost or refused."""
    worked, failed = Fetched(worked=True), Fetched(error=INVALID)
    assert failure([worked, failed]) is None
    assert failure([Fetched(), failed]) is failed
    for fatal in (Fetched(error=LOST), Fetched(error=DENIED), Fetched(error=INVALID, opening=True)):
        assert failure([worked, fatal]) is fatal
    assert failure([]) is None


def test_a_defect_is_a_failure() -> None:
    """A defect of this program is a failure of the source, also beside fetches that worked."""
    broken = Fetched(error=INVALID, defect=True)
    assert failure([Fetched(worked=True), broken]) is broken


def test_the_rhythm_of_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source is due at its interval, at once after a lost connection, later if it is refused."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    rhythm = Rhythm(10 * SECOND, is_remote=True)
    assert rhythm.is_due(now)
    rhythm.started(now)
    assert [rhythm.is_due(now + seconds) for seconds in (0, 9, 9.6)] == [False, False, True]
    rhythm.repeat()
    assert rhythm.is_due(now)
    rhythm.started(now)
    rhythm.failed(Fetched(error=INVALID))
    assert not rhythm.is_due(now)
    rhythm.failed(Fetched(error=LOST))
    assert rhythm.is_due(now)
    pauses = []
    for _ in range(8):
        rhythm.failed(Fetched(error=DENIED, opening=True))
        pauses.append(next(s for s in range(100) if rhythm.is_due(now + s)))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    rhythm.succeeded()
    rhythm.repeat()
    assert rhythm.is_due(now)


@pytest.mark.parametrize(
    ("is_remote", "expected"), [(True, [20, 40, 80, 160, 160]), (False, [1, 2, 4, 8, 16])]
)
def test_refused_fetches_skip_ticks(
    monkeypatch: pytest.MonkeyPatch, is_remote: bool, expected: list[int]
) -> None:
    """A far host that refuses is left alone for some ticks, as by the connections of the ticks."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    rhythm = Rhythm(0, is_remote)
    pauses = []
    for _ in expected:
        for _ in range(3):
            now += 10.0
            rhythm.tick(now)
        rhythm.failed(Fetched(error=DENIED, opening=True))
        pauses.append(next(s for s in range(200) if rhythm.is_due(now + s)))
    assert pauses == expected


def test_each_change_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """A problem is a warning, its end a message; what others tell is for the level debug."""
    report = Report("job")
    with caplog.at_level(logging.INFO):
        report.set("up")
        for state, help in (("LOST", ""), ("LOST", ""), ("hanging", "wait"), ("up", "")):
            report.set(state, f"{state}!" if state != "up" else "", help)
        report.set("LOST", "quiet", quiet=True)
        assert (report.up, report.error) == (False, "quiet")
        report.set("up")
    assert [record.getMessage() for record in caplog.records] == [
        "job: LOST!",
        "job: hanging!; wait",
        "job: works again",
    ]
    assert (report.up, report.error, report.help) == (True, "", "")


def runner_of(fetch: Callable[..., Any], turns: int = MOST_FETCHES) -> SourceRunner:
    """A runner of the source `job` that asks the test driver with this function; as many of the
    turns are free."""
    config = HypervisorConfig(libvirt_uri=TEST_DRIVER, timeout=SECOND)
    hypervisor = Hypervisor(config, "a name")
    hanging = Hanging(hypervisor)
    for _ in range(MOST_FETCHES - turns):
        hanging.turns.acquire()
    source = replace(SOURCES["job"], new=lambda: fetch)
    return SourceRunner(source, config, hypervisor, hanging, lambda _: True)


def test_a_defect_of_a_source_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a failure of the source: in health, in --check and once in the
    log, with the names of the hypervisor and of the source."""

    def fetch(scope: Scope) -> Iterator[Domain]:
        raise ZeroDivisionError("a defect")
        yield

    runner = runner_of(fetch)
    with caplog.at_level("INFO"):
        for _ in range(3):
            runner.tick(0)
            assert eventually(lambda: not runner.busy)
    state = runner.health()
    assert state and (state.up, state.errors) == (False, 3)
    (record,) = caplog.records
    text = record.getMessage()
    assert "job: internal error: ZeroDivisionError: a defect at test_source_runner.py:" in text
    assert runner.report.error in text


def test_a_source_without_a_turn_is_down() -> None:
    """A source that never had a turn, because others hang, is down in health."""
    runner = runner_of(lambda scope: iter(()), turns=0)
    assert runner.health() is None
    runner.tick(0)
    assert eventually(lambda: not runner.busy)
    state = runner.health()
    assert state and not state.up
    assert "no turn" in runner.report.error


def test_text_that_is_not_utf_8_costs_its_line() -> None:
    """A call whose answer is not UTF-8 fails alone."""

    def fetch(scope: Scope) -> Iterator[Domain]:
        class Broken:
            def name(self) -> str:
                return b"latin\xe9".decode()

        assert scope.call(Broken(), "name") is None
        assert scope.error is not None and "UTF-8" in scope.error.message
        yield from ()

    runner = runner_of(fetch)
    runner.tick(0)
    assert eventually(lambda: not runner.busy)
    assert "internal error" not in runner.report.error
    assert "name: text that is not UTF-8" in runner.report.error
