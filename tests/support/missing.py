"""Handling of components that a machine lacks.

The rule: a test is skipped only because it or one of its fixtures raises `Missing`, which names the
component, or because no container can run. If TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING is set, as
for a complete run, a test that raises it fails instead; see tests/conftest.py.
"""

from __future__ import annotations

import shutil


class Missing(Exception):
    """A component that this machine lacks; the message names it and its package."""


def needed(program: str, package: str, path: str | None = None) -> str:
    """The path of a program that a package of Debian has."""
    found = shutil.which(program, path=path)
    if found is None:
        raise Missing(f"{program} (Debian package {package})")
    return found
