"""Durations in Go's format."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.config.values import format_duration, parse_duration


def test_durations() -> None:
    """All of Go's units and Telegraf's day are read; durations are shown in seconds."""
    seconds = {
        **{"5s": 5.0, "500ms": 0.5, "1m30s": 90, "1.5s": 1.5, ".5s": 0.5, "1.s": 1, "2h": 7200},
        **{"1d": 86400, "250us": 250e-6, "250µs": 250e-6, "1ns": 1e-9},
    }
    assert {text: parse_duration(text) / 1e9 for text in seconds} == seconds
    assert [format_duration(int(each * 1e9)) for each in (5, 0.25, 90)] == ["5s", "0.25s", "90s"]


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", "-5s", "+5s", "5sec", "5S", "1e3s", "0s", "0.1ns", "٣s", "5s\n", "400d"],
)
def test_other_texts_are_refused(text: str) -> None:
    """An invalid or unreasonable duration is rejected."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)
