"""The fast way to a domain's lines, held against the plain one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telegraf_execd_libvirt.config import HypervisorConfig
from telegraf_execd_libvirt.domain import Domain, Value
from telegraf_execd_libvirt.encode import Encoder

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
DOMAINS = st.builds(
    Domain,
    name=st.sampled_from(["a", "b c,=", "%s", "\\", "é"]),
    uuid=st.just("u"),
    active=st.booleans(),
    stats=st.dictionaries(KEYS, VALUES, max_size=8),
)
CONFIGS = st.builds(
    HypervisorConfig,
    metric_set=st.sampled_from(["telegraf", "full"]),
    influx_uint_support=st.booleans(),
    tags=st.sampled_from([{}, {"rack": "100 %d"}]),
)


@given(config=CONFIGS, ticks=st.lists(st.lists(DOMAINS, max_size=3), max_size=4))
@example(
    config=HypervisorConfig(),
    ticks=[
        [Domain("a", "u", True, {"vcpu.0.halted": True, "state.state": 1})],
        [Domain("a", "u", True, {"vcpu.0.halted": 1, "state.state": True})],
        [Domain("a", "u", True, {"unknown": 1, "state.state": 1})],
    ],
)
@example(
    config=HypervisorConfig(influx_uint_support=True),
    ticks=[[Domain("a", "u", True, {"cpu.time": value})] for value in (1, -1, 2**64 - 1, 2**64)],
)
def test_fast_and_plain_way_give_the_same_bytes(
    config: HypervisorConfig, ticks: list[list[Domain]]
) -> None:
    """Tick after tick, whatever values, keys and names change, both ways write the same."""
    encoder, plain = Encoder(config), Encoder(config)
    for number, domains in enumerate(ticks):
        assert encoder.lines(domains, number) == plain.slow_lines(domains, number)


def test_the_fast_way_is_taken(mocker: Any) -> None:
    """Values that change like counters do not need the plain way, nor a new template."""
    encoder = Encoder(HypervisorConfig())
    stats: dict[str, Value] = {"state.state": 1, "cpu.time": 5, "block.0.path": "x"}
    encoder.lines([Domain("a", "u", True, stats)], 1)
    slow = mocker.patch.object(encoder, "slow_lines")
    template = mocker.patch.object(encoder, "_template")
    grown = {**stats, "cpu.time": 2**62}
    assert "time=4611686018427387904i 2\n" in encoder.lines([Domain("a", "u", True, grown)], 2)
    assert not slow.called and not template.called


def test_templates_go_with_their_domains() -> None:
    """What is kept is for the domains of the latest tick."""
    encoder = Encoder(HypervisorConfig())
    for number in range(100):
        encoder.lines([Domain(f"d{number}", "u", True, {"state.state": 1})], 1)
    assert list(encoder._templates) == ["d99"]


@pytest.mark.parametrize("name", ["%", "%s", "%%d"])
def test_percent_signs_stay(name: str) -> None:
    """A name that looks like a format is a name."""
    domain = Domain(name, "u", True, {"state.state": 1})
    assert Encoder(HypervisorConfig()).lines([domain], 7) == (
        f"libvirt_state,domain_name={name} state=1i 7\n"
    )
