"""The source guest_agent: whom it asks, and the lines that it makes of the answers."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from pytest_mock import MockerFixture

from support.scope import FakeScope, Thing, defaults, fetched, lines, read
from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.requests import Abandoned
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.guest_call import Asked
from telegraf_execd_libvirt.sources.guest_info import MOST_SERIES, Limits, Line

SOURCE = SOURCES["guest_agent"]
AGENT = 18

#: VIR_DOMAIN_GUEST_INFO_*: all but the disks.
LOAD, KINDS = 128, 0b11011111

CONNECTED = (
    "<domain><devices><channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
    "</devices></domain>"
)

INFO = {
    "user.count": 2,
    "user.0.name": "root",
    "user.0.login-time": 1000,
    "user.1.name": "root",
    "os.id": "debian",
    "os.pretty-name": "Debian 12",
    "os.kernel-release": "6.1.0",
    "timezone.name": "UTC",
    "timezone.offset": 0,
    "hostname": "web\n1",
    "load.1m": 0.5,
    "load.15m": 0.25,
    "fs.count": 3,
    "fs.0.name": "vda1",
    "fs.0.mountpoint": "/",
    "fs.0.fstype": "ext4",
    "fs.0.total-bytes": 1000,
    "fs.0.used-bytes": 250,
    "fs.1.mountpoint": "/run",
    "fs.1.fstype": "tmpfs",
    "fs.2.mountpoint": "/mnt",
    "fs.2.fstype": "vfat",
    "fs.2.total-bytes": 10,
    "fs.2.used-bytes": 0,
    "if.count": 1,
    "if.0.name": "eth0",
    "if.0.hwaddr": "52:54:00:00:00:01",
    "if.0.addr.count": 2,
    "if.0.addr.0.addr": "192.0.2.2",
    "if.0.addr.0.prefix": 24,
    "if.0.addr.1.addr": "fe80::1",
    "if.0.addr.1.prefix": 64,
}


def agent(**changes: Any) -> Thing:
    """A guest whose agent answers."""
    answers = {"guestInfo": INFO, "agentSetResponseTimeout": 0}
    return Thing("a", {**answers, **changes}, xml=CONNECTED)


def fetching(**changes: Any) -> tuple[Any, Thing, FakeScope]:
    """A fetch, the guest that it asks, and its scope."""
    guest = agent(**changes)
    return SOURCE.new(), guest, FakeScope(guest, options=defaults(SOURCE))


@pytest.fixture
def clock(mocker: MockerFixture) -> Mock:
    """The clock, which stands still unless its value is changed."""
    return mocker.patch("time.monotonic", return_value=1000.0)


def test_guest_agent() -> None:
    """A guest's report becomes lines, without pseudo file systems and names of users."""
    assert read("guest_agent", FakeScope(agent())) == [
        "libvirt_guest_filesystem,device=vda1,domain_name=a,fstype=ext4,mountpoint=/,project=shop "
        "total_bytes=1000i,used_bytes=250i,used_percent=25",
        "libvirt_guest_filesystem,domain_name=a,fstype=vfat,mountpoint=/mnt,project=shop "
        "total_bytes=10i,used_bytes=0i,used_percent=0",
        "libvirt_guest_user,domain_name=a,project=shop count=2i",
        'libvirt_guest_os,domain_name=a,project=shop hostname="web 1",id="debian",'
        'pretty_name="Debian 12",kernel_release="6.1.0",timezone="UTC",timezone_offset_s=0i',
        "libvirt_guest_load,domain_name=a,project=shop load1=0.5,load15=0.25",
        "libvirt_guest_interface,domain_name=a,interface=eth0,project=shop "
        'mac="52:54:00:00:00:01",addresses="192.0.2.2/24,fe80::1/64"',
    ]


def test_options_of_the_guest_agent() -> None:
    """Names of users and other file systems are written if configured."""
    options = {"users": True, "filesystem_exclude": ("vfat", "ext4")}
    found = read("guest_agent", FakeScope(agent(), options=options))
    assert 'libvirt_guest_user,domain_name=a,project=shop count=2i,names="root"' in found
    assert not any("libvirt_guest_filesystem" in line for line in found)


def test_a_hostile_guest_is_bounded() -> None:
    """A guest cannot write any number of lines, nor long tags."""
    info: dict[str, Any] = {"fs.count": 1 << 31, "if.count": 1 << 31}
    for number in range(200):
        info[f"fs.{number}.mountpoint"] = str(number) + "x" * 10_000
        info[f"fs.{number}.total-bytes"] = 1
        info[f"if.{number}.name"] = f"eth{number}"
    scope = FakeScope(agent(guestInfo=info))
    found = read("guest_agent", scope)
    assert len(found) == 128
    assert max(map(len, found)) < 1000
    assert sum(scope.dropped.values()) == 272


def test_new_series_of_a_guest_are_bounded(clock: Mock) -> None:
    """A guest that mounts 64 new file systems every ten minutes writes 256 new series in a day,
    also if it is restarted. What it had before goes on; the rest is counted, and named once."""
    fetch, written = SOURCE.new(), set()
    for minute in range(0, 2 * 1440, 10):
        clock.return_value = 60.0 * minute
        mounts = [f"/new-{minute}-{number}" for number in range(64)] if minute else []
        _, _, scope = fetching(guestInfo=file_systems(*mounts, "/"))
        if minute % 100 == 90:
            scope.things.clear()
        found = lines(SOURCE, fetched(fetch, scope))
        written.update(line.partition(" ")[0] for line in found)
        if minute == 1430:
            assert len(written) == MOST_SERIES
        if minute == 1420:
            assert len(found) == 1 and "mountpoint=/," in found[0]
            assert [*scope.dropped.values()] == [64] and "domain a: " in next(iter(scope.dropped))
    assert len(written) <= 2 * MOST_SERIES + 1


def test_limits_forget_guests_that_are_gone() -> None:
    """What a guest wrote is known for a day after its end, and no longer."""
    limits = Limits()
    limits.admit("a", [Line("guest_os", {}, {})], 0.0)
    limits.forget_others([], 86_399.0)
    assert len(limits) == 1
    limits.forget_others([], 86_400.0)
    assert len(limits) == 0


@pytest.mark.parametrize("second", ["/mnt", "/mnt\\", "/mnt\x00"])
def test_one_line_for_each_series(second: str) -> None:
    """A mount point that comes twice has one line, also if only its spelling differs."""
    info = file_systems("/mnt", second, "/mnt2")
    found = read("guest_agent", FakeScope(agent(guestInfo=info)))
    series = [line.partition(" ")[0] for line in found]
    assert len(series) == len({*series}) == 2
    assert "used_bytes=0i" in found[0]


def file_systems(*mounts: str) -> dict[str, Any]:
    """A guest's report of these mount points; the first one is empty, the second has one byte."""
    info: dict[str, Any] = {"fs.count": len(mounts)}
    for number, mount in enumerate(mounts):
        info[f"fs.{number}.mountpoint"] = mount
        info[f"fs.{number}.fstype"] = "ext4"
        info[f"fs.{number}.used-bytes"] = number
    return info


def test_excluded_file_systems_do_not_count() -> None:
    """The limit is one of lines: file systems that are left out hide none behind them."""
    info: dict[str, Any] = {"fs.count": 101, "fs.100.mountpoint": "/", "fs.100.fstype": "ext4"}
    info.update({f"fs.{number}.fstype": "squashfs" for number in range(100)})
    info["fs.100.total-bytes"] = 1000
    (line,) = read("guest_agent", FakeScope(agent(guestInfo=info)))
    assert "mountpoint=/," in line


@pytest.mark.parametrize(
    "xml", ["<domain/>", CONNECTED.replace("'connected'", "'disconnected'"), "", "<broken"]
)
def test_guests_without_an_agent_are_not_asked(xml: str) -> None:
    """Only guests whose agent is connected are asked."""
    scope = FakeScope(Thing("a", xml=xml))
    assert read("guest_agent", scope) == []
    assert scope.calls == []


def test_the_timeout_of_the_agent_is_that_of_the_fetch() -> None:
    """The agent's timeout is half of the source's for the time of the call; then it is libvirt's
    default again, also if the call fails."""
    for failures in ({}, {"guestInfo": "silent"}):
        fetch, _, scope = fetching()
        scope.failures = failures
        fetched(fetch, scope)
        calls = [(method, arguments[0]) for _, method, arguments in scope.calls if arguments]
        limit = "agentSetResponseTimeout"
        assert calls[-3:] == [(limit, 2), ("guestInfo", KINDS), (limit, -2)]


def test_libvirts_and_agents_that_lack_a_kind(clock: Mock) -> None:
    """A libvirt that does not know the load is asked for it once. An agent that lacks a command is
    asked for everything instead, for an hour or until it connects again; a silent one is not."""
    asked, code = list[int](), 8

    def info(kinds: int, _: int) -> Any:
        asked.append(kinds)
        scope.error = LibvirtError(8 if kinds & LOAD else code, 10, "refused")
        return None if kinds & LOAD or (kinds and code) else INFO

    fetch, _, scope = fetching(guestInfo=info)
    for code, after, expected in (
        (0, 0, [KINDS, KINDS ^ LOAD]),
        (1, 60, [KINDS ^ LOAD, 0]),
        (1, 60, [0]),
        (1, 3600, [KINDS ^ LOAD, 0]),
        (86, 3600, [KINDS ^ LOAD]),
    ):
        clock.return_value += after
        asked.clear()
        assert len(fetched(fetch, scope)) == (6 if code != 86 else 0)
        assert asked == expected
    assert scope.counted == 5
    fetched(fetch, scope)
    assert scope.counted == 6, "an agent that is silent is connected"


def test_a_call_that_is_given_up_leaves_a_pause() -> None:
    """A guest whose call was given up is not asked again at once."""
    fetch, _, scope = fetching(guestInfo=Mock(side_effect=Abandoned))
    with pytest.raises(Abandoned):
        fetched(fetch, scope)
    asked = len(scope.calls)
    assert fetched(fetch, scope) == [] and len(scope.calls) == asked


def test_a_paused_guest_is_not_asked() -> None:
    """A guest that is paused has no lines of its agent, and is asked when it runs again."""
    fetch, domain, scope = fetching(state=[3, 1])
    assert fetched(fetch, scope) == [] and (scope.error, scope.held) == (None, None)
    domain.answers["state"] = [1, 1]
    assert len(fetched(fetch, scope)) == 6


def test_a_silent_agent_is_asked_less_often(clock: Mock) -> None:
    """A guest that does not answer is asked after 1, 2, 4 … minutes, at most an hour."""
    fetch, domain, scope = fetching(guestInfo=None)

    def asked_after(minutes: int) -> bool:
        clock.return_value += 60 * minutes
        before = len(scope.calls)
        fetched(fetch, scope)
        return len(scope.calls) > before

    assert asked_after(0)
    asked = [minute for minute in range(1, 60 * 6) if asked_after(1)]
    assert asked == [1, 3, 7, 15, 31, 63, 123, 183, 243, 303]
    domain.answers["guestInfo"] = INFO
    assert asked_after(60)
    domain.answers["guestInfo"] = None
    assert asked_after(0) and asked_after(1)


def test_a_silent_agent_stays_an_error_until_it_connects() -> None:
    """While a guest is not asked, its last error holds on; if its agent connects, it is asked."""
    fetch, domain, scope = fetching()
    scope.failures = {"guestInfo": "silent"}
    fetched(fetch, scope)
    assert (SOURCE.events, scope.error) == ((AGENT,), "silent")
    asked = len(scope.calls)
    for arguments in ((), (2, 1)):  # no event, and one of an agent that has disconnected
        scope.error = scope.held = None
        fetch.happened(AGENT, domain.uuid, "a", arguments)
        assert fetched(fetch, scope) == []
        assert (scope.error, scope.held, len(scope.calls)) == (None, "silent", asked)
    scope.failures, scope.held = {}, None
    fetch.happened(AGENT, domain.uuid, "a", (1, 2))
    assert len(fetched(fetch, scope)) == 6
    assert (scope.error, scope.held) == (None, None)


def test_the_timeout_of_an_agent_is_restored_later() -> None:
    """If it cannot be set back, such as on a connection that was lost, each later fetch tries until
    it succeeds, also while the guest itself is not asked."""
    limits = []

    def limit(seconds: int, _: int) -> int | None:
        limits.append(seconds)
        return None if seconds == -2 and limits.count(-2) < 3 else 0

    fetch, _, scope = fetching(guestInfo=None, agentSetResponseTimeout=limit)
    for _ in range(4):
        fetched(fetch, scope)
    assert limits == [2, -2, -2, -2]
    assert [method for _, method, _ in scope.calls].count("guestInfo") == 1


def test_an_abandoned_call_ends_while_guests_are_forgotten() -> None:
    """The timeout that its agent did not get back is still known."""
    asked, (guest, other) = Asked(), (Thing(name) for name in "ab")

    class Uuids(set[str]):
        def __contains__(self, uuid: object) -> bool:
            asked.ask(FakeScope(guest), guest)
            return super().__contains__(uuid)

    asked.ask(FakeScope(other), other)
    asked.forget_others(Uuids({guest.uuid, other.uuid}))
    asked.ask(FakeScope(guest), guest)
    scope = FakeScope(guest)
    asked.restore(scope, guest)
    assert [method for _, method, _ in scope.calls] == ["agentSetResponseTimeout"]
