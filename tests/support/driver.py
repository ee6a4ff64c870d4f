"""Libvirt's test driver with the guests of a test, and errors that it never raises."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import libvirt


def driver_uri(folder: Path, *names: str, file: str = "node.xml") -> str:
    """The URI of a test driver with running guests of these names, written into this folder."""
    guests = "".join(
        f"<domain type='test'><name>{escape(name)}</name><memory>1024</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os></domain>"
        for name in names
    )
    (folder / file).write_text(f"<node>{guests}</node>", "utf-8")
    return f"test://{folder}/{file}"


def libvirt_error(code: int, domain: int = 10) -> libvirt.libvirtError:
    """An error of libvirt's with this code and domain; its message is "made up"."""
    error = libvirt.libvirtError("made up")
    error.err = (code, domain, "made up", 2, None, None, None, -1, -1)
    return error
