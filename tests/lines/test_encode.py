"""The fast way to a domain's lines gives the bytes of the plain way."""

from __future__ import annotations

import itertools
import tracemalloc
import weakref
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Device, Domain, Identity, Stats, Value
from telegraf_execd_libvirt.lines import encode
from telegraf_execd_libvirt.lines.encode import Encoder
from telegraf_execd_libvirt.sources import SOURCES

KEYS = st.sampled_from(
    [
        *("state.state", "cpu.time", "cpu.cache.monitor.count", "vcpu.0.halted", "vcpu.10.time"),
        *("vcpu.2.time", "net.0.name", "net.0.rx.bytes", "dirtyrate.megabytes_per_second"),
        *("vcpu.0.guest_mode.cur", "block.0.path", "block.0.timed_group.0.rd_queue_depth_avg"),
        *("a%s.1.b", "100%", "a.b", "a_b", "unknown"),
    ]
)
VALUES = (
    st.integers(-(2**65), 2**65)
    | st.sampled_from([0, 1, -1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, True, False])
    | st.text(max_size=5)
    | st.sampled_from(['"', "\\", "%d", "%", "a b", "", "yes"])
    | st.floats()
)
CONFIGS = st.builds(
    HypervisorConfig,
    metric_set=st.sampled_from(["telegraf", "full"]),
    influx_uint_support=st.booleans(),
    tags=st.sampled_from([{}, {"rack": "100 %d"}]),
)


def test_a_tag_and_a_field_never_have_the_same_name() -> None:
    """The tag stays, on the lines that have it: also beside keys that no declaration has."""
    config = HypervisorConfig(
        metric_set="full",
        tags={"rack": "r1"},
        additional_domain_tags=("uuid",),
        additional_device_tags=("mac",),
    )
    keys = ("domain.uuid", "domain.state", "net.0.mac", "net.0.name", "state.rack", "state.mac")
    tags = Identity({"uuid": "u1"}, {"net": (Device("x", {"mac": "m"}),)})
    domain = Domain("a", True, {**dict.fromkeys(keys, 1), "net.0.name": "x"}, tags)
    assert Encoder(config).encode_plain([domain], 7).decode().splitlines() == [
        "libvirt_state,domain_name=a,rack=r1,uuid=u1 mac=1i 7",
        'libvirt_net,domain_name=a,interface_id=0,mac=m,rack=r1,uuid=u1 name="x" 7',
        "libvirt_domain,domain_name=a,rack=r1,uuid=u1 state=1i 7",
    ]
    for source in SOURCES.values():
        for metric in source.metrics:
            assert not {field.name for field in metric.fields} & {*metric.all_tags}


@st.composite
def histories(draw: st.DrawFn) -> list[Domain]:
    """One domain, tick after tick: some of its values change, rarely its keys or its state."""
    stats = draw(st.dictionaries(KEYS, VALUES, min_size=1, max_size=8))
    name, active = draw(st.sampled_from(["a", "T%s", "%", "b c,=", "\\", "\x00", "é"])), True
    ticks = []
    for _ in range(draw(st.integers(2, 8))):
        for key in draw(st.lists(st.sampled_from([*stats]), max_size=3)):
            stats[key] = draw(VALUES)
        if draw(st.integers(0, 5)) == 0:
            del stats[draw(st.sampled_from([*stats]))]
            stats[draw(KEYS)] = draw(VALUES)
        if draw(st.integers(0, 9)) == 0:
            active = not active
        ticks.append(Domain(name, active, dict(stats)))
    return ticks


def check(config: HypervisorConfig, *ticks: Iterable[Domain]) -> None:
    """Tick after tick both ways write the same."""
    encoder, plain = Encoder(config), Encoder(config)
    for number, domains in enumerate(map(list, ticks)):
        assert encoder.encode([*domains], number) == plain.encode_plain(domains, number)


@given(config=CONFIGS, domains=st.lists(histories(), min_size=1, max_size=3))
def test_fast_and_plain_way_give_the_same_bytes(
    config: HypervisorConfig, domains: list[list[Domain]]
) -> None:
    """What was learnt of a domain's values never shows in its lines."""
    check(config, *zip(*domains))


def values(key: str, *values: Value, **others: Value) -> list[Stats]:
    """The statistics of a domain one of whose values changes."""
    return [{"state.state": 1, **others, key: value} for value in values]


@pytest.mark.parametrize(
    ("options", "history"),
    [
        ({}, values("cpu.time", 1, 2, True, 3, 2.0, 4, -1, 5, "6", 2**63, 7, unknown=1)),
        ({}, [{"vcpu.0.halted": True}, {"vcpu.0.halted": 1}, {"unknown": 1}]),
        ({"influx_uint_support": True}, values("cpu.time", 1, -1, 2**64 - 1, 2**64)),
        (
            {"influx_uint_support": True},
            values("vcpu.0.halted", True, False, 1, True, 0, "yes", False, 1.0, True),
        ),
        ({}, [{"state.state": 1, key: 1} for key in ("unknown", "cpu.time", "cpu.user")]),
        # A text with the placeholder of the timestamp.
        ({"metric_set": "full"}, values("unknown", 1, 2, 3, "\0", "w", 4, "\0")),
        # An unsigned number of 32 bits that arrives as a negative one.
        ({}, values("vcpu.current", 1, 2, 3, -1, 2**32, 2**63)),
        # Fields that come and go: no line protocol has such numbers.
        ({"metric_set": "full"}, values("unknown", 1.0, 2.0, 3.0, float("nan"), 4.0, float("inf"))),
    ],
)
def test_values_that_change(options: dict[str, Any], history: list[Stats]) -> None:
    """Also if the domain does not run any more."""
    ticks = [
        [Domain("a", True, {"balloon.current": at, **stats})] for at, stats in enumerate(history)
    ]
    last = Domain("a", False, ticks[-1][0].stats)
    check(HypervisorConfig(**options), *ticks, [last])


def test_what_chooses_the_tags_of_a_device() -> None:
    """The number of devices moves, and the name of one does, also if it is no field: the tags of
    devices are those of the moment."""
    config = HypervisorConfig(tags={"name": "n"})
    identity = Identity({}, {"net": (Device("", {"mac": "m"}), Device("x", {"mac": "o"}))})
    for key, changing in (("net.count", (1, 2, 1, 2, 3)), ("net.0.name", ("", "x", "", "y"))):
        stats: Stats = {"net.count": 2, "net.0.name": "", "net.0.rx.bytes": 1}
        history = ({**stats, key: value} for value in changing)
        check(config, *([Domain("a", True, each, identity)] for each in history))


#: Values that are easily taken for one another: equal, of the same hash, or written alike.
CONFUSABLE = (0, 0.0, -0.0, False, "", "0", 1, 1.0, True, "1", -1, -2, 2**61 - 1, 2**64 - 1, 2**64)


@pytest.mark.parametrize("key", ["unknown", "cpu.time", "vcpu.0.halted", "net.0.name"])
def test_no_value_is_taken_for_another(key: str) -> None:
    """A value that stood still, and one that moved, may become whatever there is."""
    config = HypervisorConfig(metric_set="full" if key == "unknown" else "telegraf")
    for old, new in itertools.permutations(CONFUSABLE, 2):
        history = values(key, old, old, old, new, old, new, new)
        check(config, *([Domain("a", True, stats)] for stats in history))


def test_a_domain_that_cannot_be_written_is_left_out() -> None:
    """The others are written, by each way, and the defect is handed on."""
    failed: list[Exception] = []
    encoder = Encoder(HypervisorConfig(), failed=failed.append)
    domains = [Domain(name, True, {"state.state": 1}) for name in ("a", None, "b")]
    for number, encoded in enumerate(
        (encoder.encode, encoder.encode_plain, encoder.encode_once), start=1
    ):
        assert encoded([*domains], 1).count(b"\n") == 2 and len(failed) == number


def test_the_fast_way_is_taken(mocker: Any) -> None:
    """Values that have been seen to change need neither the plain way nor a new template."""
    encoder = Encoder(HypervisorConfig())
    stats: dict[str, Value] = {"state.state": 1, "cpu.time": 5, "vcpu.0.halted": True}
    encoder.encode([Domain("a", True, stats)], 1)
    encoder.encode([Domain("a", True, {**stats, "cpu.time": 6, "vcpu.0.halted": False})], 2)
    made = mocker.spy(encode, "Template")
    plain = mocker.spy(encode, "format_line")
    text = encoder.encode([Domain("a", True, {**stats, "cpu.time": 2**62})], 3)
    assert b"time=4611686018427387904i 3\n" in text and b'halted="yes"' in text
    assert not made.called and not plain.called


def test_groups_in_turn_keep_the_fast_way(mocker: Any) -> None:
    """A domain that is asked for other groups from tick to tick has a template for each of them, as
    long as it is there."""
    encoder, made = Encoder(HypervisorConfig()), mocker.spy(encode, "Template")
    few: dict[str, Value] = {"state.state": 1, "cpu.time": 5}

    def encoded(number: int) -> bytes:
        stats = {**few, "cpu.time": number, **({} if number % 3 else {"block.count": number})}
        domain = Domain("a", True, stats, groups=frozenset({"state", *stats}))
        text = encoder.encode([domain], number)
        assert text == encoder.encode_plain([domain], number)
        encoder.forget_others(["a"])
        return text

    for number in range(12):
        encoded(number)
    assert made.call_count == 4 and encoded(12).count(b"\n") == 3
    encoder.forget_others()
    encoder.forget_others()
    encoded(13)
    assert made.call_count == 5


def test_templates_go_with_their_domains() -> None:
    """A thousand domains that came and went need no more memory than the one that is there."""
    encoder = Encoder(HypervisorConfig())
    tracemalloc.start()
    sizes = []
    for number in range(1000):
        stats: dict[str, Value] = {"state.state": 1, "net.0.name": f"{number}" * 300}
        encoder.encode([Domain(f"d{number}", True, stats)], number)
        encoder.forget_others()
        if number % 100 == 99:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(sizes) < 1.5 * sizes[0]


class Seen(dict[str, Value]):
    """Statistics that can be seen to go."""


def test_statistics_go_as_their_lines_are_written() -> None:
    """Statistics of a domain are freed before those of the next one are encoded."""
    encoder = Encoder(HypervisorConfig())
    domains = [Domain(f"d{number}", True, Seen({"cpu.time": 1})) for number in range(100)]
    seen = [weakref.ref(domain.stats) for domain in domains]
    alive = []
    for _ in encode.pop_each(domains):
        alive.append(sum(stats() is not None for stats in seen))
    assert alive[0] == 100 and alive[50] <= 51 and alive[99] <= 2
    domains = [Domain(f"d{number}", True, Seen({"cpu.time": 1})) for number in range(100)]
    assert encoder.encode(domains, 1).count(b"\n") == 100 and domains == []
