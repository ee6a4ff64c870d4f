"""Names and messages of a daemon that are not UTF-8 cost nothing; they are written readably."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from line_protocol_parser import parse_line

from support.crowd import Crowd, guest
from support.plugin import Plugin, eventually, run, states
from support.server import GET_XML_DESC, Daemon

#: As the daemon sends it, and as it is written.
RAW, READABLE = "b\udcffd\udcc3", "b\\xffd\\xc3"

WARNING = f"its name is not UTF-8; written as {READABLE}"


def names(lines: list[str], measurement: str = "libvirt_state") -> list[str]:
    """The names of the domains in the lines of one measurement."""
    parsed = [parse_line(line) for line in lines if line.startswith(f"{measurement},")]
    return [line["tags"]["domain_name"] for line in parsed]


@pytest.mark.parametrize(
    ("guests", "options"),
    [
        (2, 'statistics_groups = ["state"]'),
        (120, 'additional_domain_tags = ["instance_name"]'),
        (2, f"domains = ['{READABLE}', '{guest(1)}']"),
        (120, "parallel_calls = 2\ndomain_include = ['*']"),
        (2, 'metric_set = "full"'),
    ],
)
def test_a_name(
    start: Callable[..., Plugin],
    config: Callable[..., Path],
    daemon: Callable[..., Daemon],
    guests: int,
    options: str,
) -> None:
    """All guests are written in each tick, and one warning has the name."""
    hypervisor = daemon(crowd=Crowd(guests, renamed={guest(2): RAW}))
    extra = 'additional_statistics = ["health", "domain", "job"]'
    plugin = start("--config", config(f'libvirt_uri = "{hypervisor.uri}"\n{options}\n{extra}'))
    for _ in range(3):
        plugin.metrics.forget()
        plugin.tick_and_go_on()
        lines = plugin.metrics.wait_for(
            lambda lines: lines and any(line.startswith("libvirt_health,") for line in lines),
            "a tick",
        )
        expected = [guest(n) for n in range(1, guests + 1) if n != 2 and "domains =" not in options]
        assert {READABLE, guest(1), *expected} == set(names(lines))
        assert len(names(lines)) == len(set(names(lines)))
        if "instance_name" in options:
            tags = {parse_line(line)["tags"].get("instance_name") for line in states(lines)}
            assert f"name of {READABLE}" in tags and len(tags) == guests
        assert READABLE in names(lines, "libvirt_domain")
    assert len(plugin.wait_for_message(WARNING)) == 1
    expected_words = (WARNING, "the tag title takes the place")
    found = [line for line in plugin.log.lines if line[0] in "EW"]
    assert not [line for line in found if not any(words in line for words in expected_words)]


def test_an_event(
    start: Callable[..., Plugin], config: Callable[..., Path], daemon: Callable[..., Daemon]
) -> None:
    """An event about such a guest arrives: its XML is read again."""
    hypervisor = daemon(crowd=Crowd(2, renamed={guest(2): RAW}))
    text = f'libvirt_uri = "{hypervisor.uri}"\nadditional_domain_tags = ["instance_name"]'
    extra = '\nadditional_statistics = ["event"]\n[inputs.libvirt.event]\ninterval = "1ms"'
    plugin = start("--config", config(text + extra))
    plugin.tick()
    plugin.wait_for_states(2)
    read = hypervisor.asked.count(GET_XML_DESC)
    hypervisor.tell_of(guest(2))
    while hypervisor.asked.count(GET_XML_DESC) == read:
        plugin.metrics.forget()
        plugin.tick_and_go_on()
        lines = plugin.wait_for_states(2)
    assert eventually(
        lambda: plugin.tick() or READABLE in names(plugin.metrics.lines, "libvirt_event")
    )
    assert READABLE in names(lines)


def test_a_message(config: Callable[..., Path], daemon: Callable[..., Daemon]) -> None:
    """The message of an error is shown readably."""
    hypervisor = daemon(error=(1, 10, f"domain {RAW} is broken"))
    done = run("--uri", hypervisor.uri, "--once")
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line[0] == "E")
    assert f"cannot be read: domain {READABLE} is broken" in line
