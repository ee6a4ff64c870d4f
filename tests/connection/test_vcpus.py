"""The calls of libvirt's C library."""

from __future__ import annotations

import ctypes

import libvirt
import pytest

from support.plugin import TEST_DRIVER
from telegraf_execd_libvirt.connection.vcpus import read_vcpus


def test_others_use_ctypes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread or library sets on the functions that all users of ctypes share, such as
    while it loads them at the same time, is not this program's."""
    handle = libvirt.open(TEST_DRIVER).lookupByName("test")
    found = read_vcpus(handle, 2, 8)
    assert len(found[0]) == 2
    name = "PyCapsule_GetPointer"
    monkeypatch.setattr(ctypes.pythonapi, name, ctypes.pythonapi[name], raising=False)
    assert read_vcpus(handle, 2, 8)[1] == found[1]
