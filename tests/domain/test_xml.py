"""Paths in applications' metadata, and the texts that become values of tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.domain.xml import clean, is_path


@pytest.mark.parametrize(
    "path", ["a", "a/b", "a/@b", "a/b-c/d.e_f/@g", "instance/owner/project/@uuid", "ž/漢"]
)
def test_paths(path: str) -> None:
    """Names of elements, and an attribute at the end."""
    assert is_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/a", "a/", "a//b", "@a", "/@a", "a@b", "a/@", "a/@b/c", "a/@b/@c"),
        *("nova:name", "a/nova:b", "*", "a/*", "a[1]", "a b", "a\n", "1a", ".", "..", "a/{n}b"),
    ],
)
def test_what_is_no_path(path: str) -> None:
    """Anything else is not accepted: no prefixes, wildcards, conditions or empty names."""
    assert not is_path(path)


@given(st.text())
def test_any_text_becomes_one_line(text: str) -> None:
    """A value has no space around it and no line breaks, and a clean one stays as it is."""
    value = clean(text)
    assert len(value) <= 256 and value == value.strip() and len(value.splitlines()) <= 1
    assert clean(value) == value
