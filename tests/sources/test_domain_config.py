"""The source domain_config: what is configured of a domain."""

from __future__ import annotations

from typing import Any

from support.scope import FakeScope, Thing, fetched, lines
from telegraf_execd_libvirt.sources import SOURCES

CAPABILITIES = """<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'>
  <machine maxCpus='255' deprecated='yes'>pc-i440fx-1.5</machine>
  <machine canonical='pc-q35-7.2'>q35</machine><machine>pc-q35-7.2</machine>
</arch></guest></capabilities>"""

PERSISTENT, AUTOSTART = 4, 1024


def machine(name: str) -> str:
    return f"<domain><os><type arch='x86_64' machine='{name}'>hvm</type></os></domain>"


def test_domain_config() -> None:
    """Two lists serve all domains; a part that is not known is no field."""
    runs = Thing("runs", {"changes": ("cpu", "disk")}, xml=machine("pc-i440fx-1.5"))
    off = Thing("off", {"changes": ()}, xml=machine("pc-q35-7.2"), number=-1)
    transient = Thing("transient", {"changes": ("never asked",)}, xml=machine("new"))
    listed: dict[int, list[Thing]] = {PERSISTENT: [runs, off], AUTOSTART: [runs]}
    host: dict[str, Any] = {"listAllDomains": listed.get, "getCapabilities": CAPABILITIES}
    scope, source = FakeScope(runs, off, transient, host=host), SOURCES["domain_config"]
    read = source.new()
    start = "libvirt_domain,domain_name={},project=shop autostart={}i,persistent={}i"
    more = ',restart_required={}i,restart_changes="{}",machine_deprecated={}i'
    for _ in range(2):
        assert lines(source, fetched(read, scope)) == [
            start.format("runs", 1, 1) + more.format(1, "cpu,disk", 1),
            start.format("off", 0, 1) + more.format(0, "", 0),
            start.format("transient", 0, 0),
        ]
        host["getCapabilities"] = None  # the last ones are kept
    assert scope.calls == []


def test_capabilities_that_cannot_be_read() -> None:
    """A call that fails is made again at the next fetch."""
    host: dict[str, Any] = {"listAllDomains": lambda _: [], "getCapabilities": None}
    scope = FakeScope(Thing("a", xml=machine("pc-q35-7.2")), host=host)
    read = SOURCES["domain_config"].new()
    assert "domain_config.machine_deprecated" not in fetched(read, scope)[0].stats
    host["getCapabilities"] = CAPABILITIES
    assert fetched(read, scope)[0].stats["domain_config.machine_deprecated"] == 0


def test_without_lists() -> None:
    """While calls about all domains would hang, each domain is asked, unless it hangs itself."""
    answers = {"isPersistent": 1, "autostart": 0}
    scope = FakeScope(Thing("a", answers), Thing("b", answers, hangs=True))
    scope.sees_all = False
    source = SOURCES["domain_config"]
    start = "libvirt_domain,domain_name=a,project=shop"
    assert lines(source, fetched(source.new(), scope)) == [f"{start} autostart=0i,persistent=1i"]
    assert {name for name, *_ in scope.calls} == {"a"}


def test_capabilities_that_are_not_libvirts() -> None:
    """They cost the field of the machine type only."""
    host = {"listAllDomains": lambda _: [], "getCapabilities": "<capabilities>"}
    scope, source = FakeScope(Thing("a"), host=host), SOURCES["domain_config"]
    assert lines(source, fetched(source.new(), scope)) == [
        "libvirt_domain,domain_name=a,project=shop autostart=0i,persistent=0i"
    ]
