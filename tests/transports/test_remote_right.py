"""Metrics come by every transport, with users that have no special rights on either side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.plugin import Plugin, eventually
from support.readers import Reader
from support.transports import ALL, SSH, UNIX, Rig


@pytest.mark.parametrize("transport", ALL)
def test_metrics_come(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """With the right credentials there are metrics at each tick, and nothing to complain about;
    --once ends with 0."""
    reader = read(rig.uri(transport))
    assert reader.ticks(3) == [True] * 3, reader.plugin.log.lines
    assert reader.finish() == []
    arguments = ("--once", "--uri", rig.uri(transport))
    with Plugin(*arguments, prefix=rig.near.prefix, env=rig.near.environment()) as plugin:
        assert plugin.wait() == 0, plugin.log.lines
        assert len(plugin.states) == 1


# Not libssh: such an answer stalls for seconds there, in libvirt itself.
@pytest.mark.parametrize("transport", [SSH, "libssh2"])
def test_many_domains(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """An answer that is larger than one packet of SSH comes at once."""
    count = 300
    domain = (
        "<domain type='test'><name>{}</name><memory>1</memory><os><type>hvm</type></os></domain>"
    )
    path = rig.far.folder / "many.xml"
    path.write_text("<node>" + "".join(map(domain.format, range(count))) + "</node>")
    reader = read(rig.uri(transport, path=str(path)), timeout="15s")
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines
    assert len(reader.plugin.states) == count


@pytest.mark.parametrize("transport", [UNIX, SSH])
def test_the_read_only_socket_is_used(
    rig: Rig, read: Callable[..., Reader], transport: str
) -> None:
    """Metrics need access to the read-only socket, and nothing else."""
    rig.far.read_only.chmod(0o700)
    reader = read(rig.uri(transport))
    assert reader.ticks(2) == [False] * 2
    rig.far.read_only.chmod(0o777)
    assert eventually(reader.tick), reader.plugin.log.lines
    (error,) = reader.finish_with_errors()
    assert "Permission denied" in error
