"""What is known of the domains while libvirt holds the locks of some of them."""

from __future__ import annotations

from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity
from telegraf_execd_libvirt.groups.health import LOCKED
from telegraf_execd_libvirt.hypervisor.messages import Link, Reading
from telegraf_execd_libvirt.hypervisor.roster import Roster


def test_calls_that_wait_for_locks() -> None:
    """A look-up that returns frees its domain; the list may have passed one before its lock. After
    a lost connection the lock may still be held. Two guests with dead storage cost the group
    block."""
    for alive in (True, False):
        roster, listing, first, second = Roster(), *(Link(n, True, 0.0) for n in range(3))
        roster.note(dict.fromkeys("abcd", ""))
        roster.lock("a", first, by_block=True, now=0.0)
        assert not roster.without_block
        roster.lock("c", second, by_block=True, now=0.0)
        roster.block(listing)
        assert [*roster.free] == ["b", "d"] and roster.waiting == 3 and roster.without_block
        assert roster.returned(first, alive) == ["a"] * alive and roster.waits(listing)
        assert roster.returned(listing, alive) == [] and roster.blocked and roster.without_block
        assert roster.returned(second, alive) == ["c"] * alive
        assert [*roster.locked] == ([] if alive else ["a", "c"]) and not roster.waiting
        assert roster.any_held == roster.without_block == (not alive)
        assert roster.blocked  # some domains are not known yet
        roster.block(listing)
        assert roster.any_held and roster.returned(listing, alive) == []
        assert roster.blocked == roster.any_held == (not alive)
    roster = Roster()
    roster.block(listing)
    assert roster.returned(listing, alive=False) == [] and not roster.blocked


def test_identities_of_locked_domains() -> None:
    """What was last known of a domain stays, also if it comes without; one that is gone is
    forgotten."""
    roster, known = Roster(), Identity({"project": "shop"}, {})
    roster.lock("a", Link(0, True, 0.0), by_block=False, now=7.0)
    for identity in (known, NO_IDENTITY, None):
        roster.identify(Reading([Domain("a", True, {}, identity)], 0))
    for now, who in ((8.5, known), (9.0, NO_IDENTITY)):
        stats = {**LOCKED, "domain_health.locked_time_ms": int((now - 7) * 1000)}
        assert roster.locked_domains(now) == [Domain("a", True, stats, who)]
        roster.note({"b": ""})
    roster.lock("a", Link(1, True, 0.0), by_block=False, now=9.0)
    assert roster.locked["a"].since == 7.0


def test_an_identity_is_that_of_a_uuid() -> None:
    """A domain that was defined anew is another one, though it has the name."""
    roster, known = Roster(), Identity({"project": "shop"}, {})
    found = []
    for uuid in ("1", "1", "2"):
        roster.note({"a": uuid})
        found.append({**roster.identities})
        roster.identify(Reading([Domain("a", True, {}, known)], 0))
    assert found == [{}, {"a": known}, {}]
