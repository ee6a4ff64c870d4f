"""What is known of the domains while libvirt holds the locks of some of them."""

from __future__ import annotations

from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity
from telegraf_execd_libvirt.hypervisor.messages import Link
from telegraf_execd_libvirt.hypervisor.roster import Roster


def locked(names: str, by_block: bool = False) -> tuple[Roster, Link, list[Link]]:
    """A roster with these domains locked, the connection of the list, those of the look-ups."""
    roster, listing = Roster(), Link(0, True, 0.0)
    roster.note({name: f"uuid-{name}" for name in "abcd"})
    looking = [Link(number, True, 0.0) for number, _ in enumerate(names, start=1)]
    for name, link in zip(names, looking):
        roster.lock(name, link, by_block)
    roster.block(listing)
    return roster, listing, looking


def test_a_look_up_returns() -> None:
    """This domain is free; the list may still wait for another one. When the list returns, all are
    free: it had to wait for each."""
    roster, listing, (first, second) = locked("ac")
    assert [*roster.free] == ["b", "d"] and roster.waiting == 3
    assert all(map(roster.waits, (listing, first, second)))
    assert roster.returned(first, alive=True) == ["a"]
    assert [*roster.locked] == ["c"] and roster.blocked and roster.waits(listing)
    assert roster.returned(listing, alive=True) == ["c"]
    assert not roster.blocked and not roster.locked and roster.waiting == 0


def test_a_connection_that_waits_is_lost() -> None:
    """The lock may still be held: another call has to wait for it."""
    roster, listing, (first,) = locked("a")
    for lost in (first, listing):
        assert roster.returned(lost, alive=False) == []
    assert roster.blocked and [*roster.locked] == ["a"] and roster.waiting == 0
    roster, listing, _ = locked("")
    assert roster.returned(listing, alive=False) == [] and not roster.blocked


def test_two_guests_with_dead_storage() -> None:
    """After the second one the others are asked without block, until both are free."""
    assert not locked("a", by_block=True)[0].without_block and not locked("ab")[0].without_block
    roster, _, looking = locked("ab", by_block=True)
    for link in looking:
        assert roster.without_block
        roster.returned(link, alive=True)
    assert not roster.without_block


def test_identities_of_locked_domains() -> None:
    """What was last known of a domain stays, also if it comes without; one that is gone is
    forgotten."""
    (roster, _, _), known = locked("a"), Identity({"project": "shop"}, {})
    for identity in (known, NO_IDENTITY, None):
        roster.identify([Domain("a", True, {}, identity)])
    assert roster.locked_domains() == [Domain("a", True, {}, known)]
    roster.note({"b": ""})
    assert roster.locked_domains() == [Domain("a", True, {}, NO_IDENTITY)]
