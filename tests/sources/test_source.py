"""The declarations of all sources."""

from __future__ import annotations

from pathlib import Path

from telegraf_execd_libvirt.sources import SOURCES

FOLDER = Path(__file__).parents[2] / "src" / "telegraf_execd_libvirt" / "sources"


def test_sources_are_declared_completely() -> None:
    """Each source has the name of its file, and what it needs is explained."""
    for name, source in SOURCES.items():
        assert name == source.name
        assert source.summary and source.calls and source.metrics
        assert source.read_only or source.advice


def test_sources_are_one_file_each() -> None:
    """Each file that declares a source is in the registry."""
    declaring = {p.stem for p in FOLDER.glob("*.py") if "\nSOURCE = " in p.read_text("utf-8")}
    assert declaring == set(SOURCES)
