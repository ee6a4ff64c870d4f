"""Libvirt's XML, paths in applications' metadata, and the texts that become values of tags."""

from __future__ import annotations

from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.domain.devices import parse
from telegraf_execd_libvirt.domain.identity import IdentityReader
from telegraf_execd_libvirt.domain.restart import changes
from telegraf_execd_libvirt.domain.xml import clean, is_path

#: Entities that expand to gigabytes.
BOMB = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    "read",
    [
        parse,
        IdentityReader().read,
        lambda xml: changes((xml, "<domain/>")),
        lambda xml: changes(("<domain/>", xml)),
    ],
    ids=["devices", "identity", "definition", "live"],
)
@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        *((text, "cannot be read") for text in ("", "<domain>", "no xml", "<a/><b/>")),
        *((text, "cannot be read") for text in ("<domain>&b;</domain>", "<domain><n:a/></domain>")),
        ("<!DOCTYPE domain><domain/>", "document type"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd"><domain/>', "document type"),
        (f'<!DOCTYPE d [<!ENTITY l0 "ha">{BOMB}]><domain>&l9;</domain>', "document type"),
        ("<domain>\ud800</domain>", "surrogates"),
    ],
    ids=lambda value: value[:20],
)
def test_xml_that_is_not_libvirts_is_refused(
    read: Callable[[str], object], xml: str, problem: str
) -> None:
    """Broken and hostile XML is a ValueError and nothing else."""
    with pytest.raises(ValueError, match=problem):
        read(xml)


def test_paths() -> None:
    """Names of elements, and an attribute at the end; no prefixes, wildcards, conditions or empty
    names."""
    paths = ("a", "a/b", "a/@b", "a/b-c/d.e_f/@g", "instance/owner/project/@uuid", "ž/漢")
    others = (
        *("", "/", "/a", "a/", "a//b", "@a", "/@a", "a@b", "a/@", "a/@b/c", "a/@b/@c"),
        *("nova:name", "a/nova:b", "*", "a/*", "a[1]", "a b", "a\n", "1a", ".", "..", "a/{n}b"),
    )
    assert [path for path in (*paths, *others) if is_path(path)] == [*paths]


@given(st.text())
def test_any_text_becomes_one_line(text: str) -> None:
    """A value has no space around it and no line breaks, and a clean one stays as it is."""
    value = clean(text)
    assert len(value) <= 256 and value == value.strip() and len(value.splitlines()) <= 1
    assert clean(value) == value
