"""A collector writes the health whatever breaks, and counts what does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from line_protocol_parser import parse_line

from support.driver import driver_uri
from support.plugin import SECONDS, Stream, eventually
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.config.intervals import GroupIntervals
from telegraf_execd_libvirt.connection.details import Details
from telegraf_execd_libvirt.connection.reader import Reader
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import domain, node
from telegraf_execd_libvirt.hypervisor.engine import Engine
from telegraf_execd_libvirt.hypervisor.feed import Feed
from telegraf_execd_libvirt.hypervisor.tick import Tick
from telegraf_execd_libvirt.hypervisor.voice import MOST_TIMES
from telegraf_execd_libvirt.lines import encode
from telegraf_execd_libvirt.lines.templates import Template
from telegraf_execd_libvirt.program.collector import Collector
from telegraf_execd_libvirt.program.output import Output
from telegraf_execd_libvirt.program.twins import Twins
from telegraf_execd_libvirt.sources import SOURCES

GUESTS = ("a", "b", "c")

HOUR = 3600 * 10**9

#: Collects so many ticks, with further options; the parsed lines of each.
Ticks = Callable[..., list[list[dict[str, Any]]]]


def broken(*_: Any, **__: Any) -> Any:
    """A step with a defect."""
    raise ZeroDivisionError("a defect")


@pytest.fixture
def ticks(tmp_path: Path) -> Iterator[Ticks]:
    """Ticks of three guests, each with all summaries and a source."""
    read, write = os.pipe()
    stream = Stream(os.fdopen(read, "rb"))
    config = HypervisorConfig(
        libvirt_uri=driver_uri(tmp_path, *GUESTS),
        additional_statistics=("health", "domain", "node", "job"),
        tags={"rack": "r 1"},
    )

    def collect(count: int, **options: Any) -> list[list[dict[str, Any]]]:
        mine = replace(config, **options)
        collector = Collector(mine, 0, Twins([mine]), Output(write), lambda: None, lambda: None)
        found = []
        for number in range(count):
            collector.hypervisor.tick(number + 1)
            stream.wait_for(
                lambda lines, end=f" {number + 1}": any(  # type: ignore[misc]
                    line.startswith("libvirt_health,") and line.endswith(end) for line in lines
                ),
                "the health",
            )
            assert eventually(lambda: not collector.hypervisor.busy, SECONDS)
            found.append([parse_line(line) for line in stream.lines])
            stream.forget()
        return found

    yield collect
    os.close(write)
    stream.close()


def fields(lines: list[dict[str, Any]], measurement: str) -> dict[str, dict[str, Any]]:
    """The fields of the lines of a measurement by the name of the domain."""
    mine = [line for line in lines if line["measurement"] == measurement]
    return {line["tags"].get("domain_name", ""): line["fields"] for line in mine}


@pytest.mark.parametrize(
    ("owner", "name", "written"),
    [
        (Template, "fill", ()),
        (encode, "lay_out", ()),
        (encode, "Template", ()),
        (domain, "summarize", GUESTS),
        (node.Node, "keys", GUESTS),
        (node.Node, "add", GUESTS),
        (Feed, "health", GUESTS),
        (Reader, "_piece", ()),
        (Reader, "__init__", ()),
        (Details, "fill", ()),
        (Tick, "accept", ()),
        (Tick, "end", ()),
        (Engine, "handle", ()),
    ],
)
def test_defects(
    ticks: Ticks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: Any,
    name: str,
    written: tuple[str, ...],
) -> None:
    """Wherever a step has a defect, each tick has the health with a count that grows; what does
    not need that step is written, and the log names the defect once, beside the outages."""
    monkeypatch.setattr(owner, name, broken)
    before = 0
    for lines in ticks(3):
        (health,) = (line for line in lines if line["measurement"] == "libvirt_health")
        assert health["tags"]["rack"] == "r 1" and health["fields"]["defects"] >= before
        before = health["fields"]["defects"]
        assert {*fields(lines, "libvirt_state")} == {*written}
    assert before >= 2
    texts = [
        text.partition("internal error: ")[2] for text in caplog.messages if "a defect at" in text
    ]
    assert len(set(texts)) == 1 and len(texts) <= 1 + MOST_TIMES


@pytest.mark.parametrize("name", ["fill", "_plain", "source"])
def test_a_defect_for_one_guest(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """It costs this guest only, and one of a source the source. The log names it once."""
    owner: Any = Template if name == "fill" else encode.Encoder
    written = {*GUESTS} if name == "source" else {"a", "c"}
    if name == "source":
        monkeypatch.setitem(SOURCES, "job", replace(SOURCES["job"], new=lambda: broken))
    else:
        real = getattr(owner, name)

        def step(owner: Any, domain: Domain, *rest: Any) -> Any:
            return (broken if domain.name == "b" else real)(owner, domain, *rest)

        monkeypatch.setattr(owner, name, step)
    if name == "_plain":
        monkeypatch.setattr(Template, "fill", lambda self, domain: None)
    for number, lines in enumerate(ticks(3), 1):
        assert {*fields(lines, "libvirt_state")} == written
        (health,) = fields(lines, "libvirt_health").values()
        late = name == "source"  # a source ends after the health of its tick
        assert number - late <= health["defects"] <= number and health["up"] == 1
    (message,) = (text for text in caplog.messages if "a defect at test_collector.py:" in text)
    assert "internal error: ZeroDivisionError" in message


def test_the_next_engine(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a defect of the engine itself another one goes on, with new connections."""
    real, left = Tick.accept, [1]

    def accept(*arguments: Any) -> None:
        if left and left.pop():
            raise ZeroDivisionError("a defect")
        real(*arguments)

    monkeypatch.setattr(Tick, "accept", accept)
    found = [fields(lines, "libvirt_health")[""] for lines in ticks(3)]
    assert [(each["up"], each["domains"], each["defects"]) for each in found] == [
        (0, 0, 1),
        (1, 3, 1),
        (1, 3, 1),
    ]


@pytest.mark.parametrize(
    ("groups", "default", "domains"),
    [({"state": HOUR, "balloon": HOUR}, 0, GUESTS), ({}, HOUR, ())],
)
@pytest.mark.parametrize("metric_set", ["telegraf", "full"])
def test_summaries_keep_what_they_last_knew(
    ticks: Ticks,
    groups: dict[str, int],
    default: int,
    domains: tuple[str, ...],
    metric_set: str,
) -> None:
    """Groups that are not due are not written. The summaries of the node and of domains that are
    asked for other groups have the same values as before, and all domains count as read."""
    intervals = GroupIntervals(groups, default, spread=False)
    first, *later = ticks(3, group_intervals=intervals, metric_set=metric_set)
    assert {*fields(first, "libvirt_state")} == {*GUESTS} == {*fields(first, "libvirt_domain")}
    for lines in later:
        assert not fields(lines, "libvirt_state") and not fields(lines, "libvirt_balloon")
        assert {*fields(lines, "libvirt_vcpu_total")} == {*domains}
        assert {*fields(lines, "libvirt_domain")} == {*domains}
        for name, now in fields(lines, "libvirt_domain").items():
            before = fields(first, "libvirt_domain")[name]
            assert before.keys() == now.keys() and {"state", "memory_max_kib"} <= now.keys()
        (before,), (now,) = (fields(each, "libvirt_node").values() for each in (first, lines))
        assert {k: v for k, v in now.items() if not k.startswith("cpu_")} == {
            k: v for k, v in before.items() if not k.startswith("cpu_")
        }
        assert now["domains_running"] == 3
        health = fields(lines, "libvirt_health")[""]
        assert (health["up"], health["domains"], health["domains_incomplete"]) == (1, 3, 0)
