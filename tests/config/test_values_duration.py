"""Durations in Go's format."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.config.values import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5s", 5 * 10**9),
        ("500ms", 5 * 10**8),
        ("1m30s", 90 * 10**9),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("2h", 7200 * 10**9),
        ("1d", 86400 * 10**9),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("1ns", 1),
    ],
)
def test_durations_are_read(text: str, nanoseconds: int) -> None:
    """All of Go's units and Telegraf's day are read."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", "-5s", "+5s", "5sec", "5S", "1e3s", "0s", "0.1ns", "٣s", "5s\n", "400d"],
)
def test_other_texts_are_refused(text: str) -> None:
    """An invalid or unreasonable duration is rejected."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"), [(5 * 10**9, "5s"), (250_000_000, "0.25s"), (90 * 10**9, "90s")]
)
def test_durations_are_shown(nanoseconds: int, text: str) -> None:
    """Durations are shown in seconds."""
    assert format_duration(nanoseconds) == text
