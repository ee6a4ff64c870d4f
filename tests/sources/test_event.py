"""The source event: names of events, and their counters."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.scope import FakeScope, Thing, fetched
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.sources.counters import MOST_COUNTERS
from telegraf_execd_libvirt.sources.event import NAMES, Events

LIFECYCLE, IO_ERROR, COMPLETED = 0, 6, 21


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (LIFECYCLE, (2, 0), ("started", "booted")),
        (LIFECYCLE, (5, 2), ("stopped", "crashed")),
        (LIFECYCLE, (8, 0), ("crashed", "panicked")),
        (LIFECYCLE, (3, 99), ("suspended", "99")),
        (LIFECYCLE, (77, 1), ("lifecycle_77", "1")),
        (1, (), ("reboot", "")),
        (3, (2,), ("watchdog", "reset")),
        (IO_ERROR, ("/disk", "virtio-disk0", 1, "enospc"), ("io_error", "enospc")),
        (IO_ERROR, ("/disk", "virtio-disk0", 1, ""), ("io_error", "pause")),
        (7, (), ("control_error", "")),
        (18, (1, 2), ("agent", "connected")),
        (COMPLETED, ({"operation": 5},), ("job_completed", "migration_out")),
        (24, ("vda", "/disk", 10, 1), ("block_threshold", "vda")),
        (22, ("virtio-disk1",), ("device_removal_failed", "virtio-disk1")),
        (25, (1, 0, 0), ("memory_failure", "guest")),
        (27, ("net0", "52:54:00:00:00:01", "52:54:00:00:00:02"), ("nic_mac_change", "net0")),
        (28, (3,), ("vcpu_removed", "3")),
        (29, ("com.example", 2, 2), ("channel_lifecycle", "com.example disconnected")),
    ],
)
def test_names_of_events(kind: int, arguments: tuple[Any, ...], expected: tuple[str, str]) -> None:
    """Events and details have libvirt's names; unknown ones their numbers."""
    assert NAMES[kind](*arguments) == expected


def counters(records: list[Domain]) -> dict[tuple[str, ...], object]:
    """The counts by domain, event and detail."""
    found = {}
    for item in records:
        assert item.identity is not None
        tags = item.identity.tags
        found[item.name, tags["event"], tags.get("detail", "")] = item.stats["event.count"]
    assert len(found) == len(records), "a series twice"
    return found


def test_events_are_counted() -> None:
    """Events are counted by domain and kind, with the time of the last one."""
    fetch = Events()
    scope = FakeScope(Thing("a"), Thing("b"))
    started = int(time.time())
    for _ in range(3):
        fetch.happened(IO_ERROR, "uuid-a", "a", ("/disk", "d", 1, "eio"))
    fetch.happened(LIFECYCLE, "uuid-b", "b", (2, 0))
    records = fetched(fetch, scope)
    assert counters(records) == {("a", "io_error", "eio"): 3, ("b", "started", "booted"): 1}
    assert started <= records[0].stats["event.last"] <= int(time.time())
    assert counters(fetched(fetch, scope)) == counters(records)


def test_events_of_a_domain_that_is_gone() -> None:
    """The last events of a domain are written once, with its tags, and then dropped."""
    fetch = Events()
    scope = FakeScope(Thing("a"))
    fetch.happened(LIFECYCLE, "uuid-a", "a", (2, 0))
    (before,) = fetched(fetch, scope)
    scope.things = []
    fetch.happened(LIFECYCLE, "uuid-a", "a", (5, 0))
    fetch.happened(LIFECYCLE, "uuid-other", "other", (5, 0))
    last = fetched(fetch, scope)
    assert counters(last) == {("a", "started", "booted"): 1, ("a", "stopped", "shutdown"): 1}
    assert before.identity and last[0].identity == before.identity
    # libvirt lists a domain no more before its last event comes: the counter goes on.
    fetch.happened(LIFECYCLE, "uuid-a", "a", (5, 0))
    assert counters(fetched(fetch, scope))["a", "stopped", "shutdown"] == 2
    assert fetched(fetch, scope) == []
    fetch.happened(LIFECYCLE, "uuid-a", "a", (2, 0))
    assert counters(fetched(fetch, scope)) == {("a", "started", "booted"): 1}


def test_the_last_event_comes_during_a_fetch() -> None:
    """An event of a domain that the fetch has not found any more is in the next one."""
    fetch, scope = Events(), FakeScope()
    fetch.happened(LIFECYCLE, "uuid-a", "a", (5, 0))
    records = fetch(scope)
    next(records)
    fetch.happened(LIFECYCLE, "uuid-a", "a", (1, 0))
    assert [*records] == []
    expected = {("a", "stopped", "shutdown"): 1, ("a", "undefined", "removed"): 1}
    assert counters(fetched(fetch, scope)) == expected
    assert fetched(fetch, scope) == []


def test_a_fetch_that_fails_loses_no_event() -> None:
    """What an incomplete fetch has read of a domain that is gone, and of limits, is in the next."""
    fetch, scope = Events(), FakeScope(Thing("z"))
    for name in "az":
        for number in range(MOST_COUNTERS + 1):
            fetch.happened(24, f"uuid-{name}", name, (f"disk{number}",))
    records = fetch(scope)
    assert {next(records).name for _ in range(MOST_COUNTERS + 1)} == {"a", "z"}
    records.close()
    scope.dropped.clear()
    assert len(fetched(fetch, scope)) == 2 * MOST_COUNTERS
    assert [*scope.dropped.values()] == [1, 1]
    assert {record.name for record in fetched(fetch, scope)} == {"z"}


def test_a_domain_takes_what_had_no_room_before_it() -> None:
    """What one domain could not count is reported, though another one has its name by the next
    fetch; and a domain has its present name, although the event of that was lost."""
    fetch, scope = Events(), FakeScope(Thing("a", identity="new"))
    fetch.happened(1, "uuid-new", "a", ())
    for number in range(MOST_COUNTERS + 1):
        fetch.happened(24, "uuid-old", "a", (f"disk{number}",))
    scope.known_tags["uuid-old"] = scope.things[0].tags
    assert len(fetched(fetch, scope)) == MOST_COUNTERS
    assert [*scope.dropped.values()] == [2]
    scope.things = [Thing("renamed", identity="new")]
    assert {record.name for record in fetched(fetch, scope)} == {"renamed"}


def test_tags_of_a_domain_that_cannot_be_asked() -> None:
    """A domain that is not there since its first event, as one that libvirt has locked, has the
    tags that it had last."""
    fetch, scope = Events(), FakeScope()
    scope.known_tags["uuid-a"] = {"project": "shop"}
    fetch.happened(LIFECYCLE, "uuid-a", "a", (2, 0))
    (found,) = fetched(fetch, scope)
    assert found.identity is not None and found.identity.tags["project"] == "shop"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("old", [("old", "defined", 3), ("old", "undefined", 2)]),
        ("new", [("old", "defined", 2), ("old", "undefined", 2), ("new", "defined", 1)]),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_events_of_a_domain_that_is_defined_again(
    tag: str, expected: list[tuple[str, ...]], there: bool
) -> None:
    """The counters of a domain go on in those of the next one with its name and tags: one line a
    series. With other tags its last ones are written as those of each domain that is gone."""
    fetch, scope = Events(), FakeScope()
    for number, value in enumerate(("old", "old", tag)):
        thing = Thing("a", identity=str(number), tags={"tag": value})
        scope.known_tags[thing.uuid] = thing.tags
        fetch.happened(LIFECYCLE, thing.uuid, "a", (0, 0))
        if number < 2:
            fetch.happened(LIFECYCLE, thing.uuid, "a", (1, 0))
        scope.things = [thing]
    if not there:
        scope.things = []
    records = fetched(fetch, scope)
    tags = [item.identity.tags for item in records if item.identity]
    found = [(t["tag"], t["event"], r.stats["event.count"]) for t, r in zip(tags, records)]
    assert found == expected
    assert len(fetched(fetch, scope)) == (len(expected) - 2 * (tag == "new") if there else 0)


def test_a_flood_of_events_is_bounded() -> None:
    """A domain has a limit on its counters: known ones go on, other domains are not affected, and
    what is not counted is reported."""
    fetch = Events()
    scope = FakeScope(Thing("a"), Thing("x"))
    fetch.happened(1, "uuid-x", "x", ())
    for number in range(MOST_COUNTERS + 9):
        fetch.happened(24, "uuid-x", "x", (f"disk{number}",))
    fetch.happened(1, "uuid-x", "x", ())
    for number in range(10_001):  # more than one limit for the host would allow
        fetch.happened(1, f"uuid-{number}", f"other{number}", ())
    fetch.happened(24, "uuid-a", "a", ("vda",))
    found = counters(fetched(fetch, scope))
    assert len([name for name, *_ in found if name == "x"]) == MOST_COUNTERS
    assert found["x", "reboot", ""] == 2 and found["a", "block_threshold", "vda"] == 1
    (text,) = scope.dropped
    assert "domain x: " in text and scope.dropped[text] == 10
    scope.dropped.clear()
    assert fetched(fetch, scope) and not scope.dropped
