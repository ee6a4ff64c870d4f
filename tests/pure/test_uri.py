"""The parts of a URI that may be shown."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.uri import driver_and_transport, has_password, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://root:secret@host:22/system?keyfile=/k", "qemu+ssh://host:22/system"),
        ("qemu+unix:///system?socket=/run/x", "qemu+unix:///system"),
        ("cannot open 'esx://me:pa@ss@host/?a=b': no", "cannot open 'esx://host/': no"),
        ("two a://u@h/x?y b://p:q@h2/z?w end", "two a://h/x b://h2/z end"),
        ("no uri at all? yes@home", "no uri at all? yes@home"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    """User names, passwords and queries are removed, also within a message."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("uri", "holds"),
    [
        ("qemu:///system", False),
        ("qemu+ssh://root@host/system?keyfile=/k", False),
        ("esx://root:secret@host/", True),
        ("x://host/?password=secret", True),
        ("x://host/?a=1&auth_token=t", True),
        ("test:///path/with:colon@sign", False),
    ],
)
def test_has_password(uri: str, holds: bool) -> None:
    """A password is found in the user part and in the query."""
    assert has_password(uri) is holds


def test_driver_and_transport() -> None:
    """The scheme is split into driver and transport."""
    assert driver_and_transport("qemu+ssh://h/system") == ("qemu", "ssh")
    assert driver_and_transport("qemu:///system") == ("qemu", "")
