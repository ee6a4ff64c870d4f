"""Which domains of a tick are written, and when."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.connection.requests import Piece, XmlRequest
from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity
from telegraf_execd_libvirt.hypervisor.tick import Tick

Pieces = list[str]
"""Domains by one letter each; a lower case letter is a domain that came incomplete."""


def begin() -> Tick:
    """A tick that is just being collected."""
    return Tick(timestamp=0, began=0.0, deadline=9.0, hung_at=0.0)


def accept(tick: Tick, piece: str, asked: int) -> str:
    """The letters of the domains to write now."""
    domains = [Domain(letter.upper(), True, {"asked": asked}) for letter in piece]
    partial = frozenset(letter.upper() for letter in piece if letter.islower())
    tick.accept(Piece(domains, partial), asked)
    return "".join(written(tick).get(asked, ""))


def written(tick: Tick, incomplete: bool = False) -> dict[int, str]:
    """The letters of the domains to write now, by the time at which they were requested."""
    found: dict[int, str] = {}
    for reading in tick.ready:
        names = [domain.name for domain in reading.domains]
        assert reading.incomplete == (frozenset(names) if incomplete else frozenset())
        asked = reading.timestamp // 10**9
        assert all(domain.stats["asked"] == asked for domain in reading.domains)
        assert asked not in found
        found[asked] = "".join(names)
    tick.ready.clear()
    return found


def rest(tick: Tick) -> dict[int, str]:
    """The letters of the domains at the end."""
    tick.end()
    return written(tick, incomplete=True)


@pytest.mark.parametrize(
    ("case", "pieces", "at_once", "at_the_end"),
    [
        ("whole domains are written at once", ["AB", "C"], ["AB", "C"], {}),
        ("nothing is written twice", ["AB", "BC", "AC"], ["AB", "C", ""], {}),
        ("an incomplete domain is held", ["AbC"], ["AC"], {0: "B"}),
        ("the whole one replaces it", ["Ab", "aB"], ["A", "B"], {}),
        ("an incomplete one after the whole one is dropped", ["B", "b"], ["B", ""], {}),
        ("the newest incomplete one counts", ["b", "b"], ["", ""], {1: "B"}),
        ("the times are kept apart", ["ab", "c", "b"], ["", "", ""], {0: "A", 1: "C", 2: "B"}),
        ("nothing", [""], [""], {}),
    ],
)
def test_deliveries(
    case: str, pieces: Pieces, at_once: list[str], at_the_end: dict[int, str]
) -> None:
    """Each domain is written once: complete at once, or incomplete at the end."""
    tick = begin()
    found = [accept(tick, piece, asked) for asked, piece in enumerate(pieces)]
    assert found == at_once, case
    assert tick.incomplete == {*"".join(at_the_end.values())}
    assert tick.count == len({*"".join(pieces).upper()})
    assert rest(tick) == at_the_end, case


letters = st.text("ABCDabcd", max_size=4).filter(lambda text: len({*text.upper()}) == len(text))


@given(st.lists(letters, max_size=8))
def test_no_domain_is_lost_or_written_twice(pieces: Pieces) -> None:
    """Whatever the order of the answers, each domain is written once, and complete if it ever
    came so."""
    tick = begin()
    at_once = "".join(accept(tick, piece, asked) for asked, piece in enumerate(pieces))
    late = "".join(rest(tick).values())
    letters = "".join(pieces)
    assert {*at_once} == {letter for letter in letters if letter.isupper()}
    assert Counter(at_once + late) == Counter({*letters.upper()})
    assert tick.count == len({*letters.upper()})


def test_domains_wait_for_their_identities() -> None:
    """A domain without an identity is written once it is known, or without one if it cannot be
    read; one that is incomplete as well waits for the end."""
    tick, known = begin(), Identity({"project": "shop"}, {})
    tick.accept(Piece([Domain(n, True, {}, None) for n in "ABC"], frozenset("C"), due="ABC"), 1.0)
    assert not tick.ready and tick.lacks and tick.untagged == 3
    assert [batch.request for batch in tick.queue] == [XmlRequest([*"ABC"])]
    tick.identify("ABC", {"A": known, "C": known})
    assert tick.untagged == 1
    tick.end()
    found = [(d.name, d.identity) for reading in tick.ready for d in reading.domains]
    assert found == [("A", known), ("B", NO_IDENTITY), ("C", known)]


def test_timestamps() -> None:
    """A request has the time of the tick, unless it was made because another one hung."""
    for asked, hung_at, late in ((0.0, None, 0), (0.7, None, 0), (0.2, 0.3, 0), (0.3, 0.3, 0.3)):
        tick = Tick(7, 100.0, 105.0, hung_at=None if hung_at is None else 100 + hung_at)
        tick.accept(Piece([Domain("A", True, {})], frozenset()), 100 + asked)
        assert tick.ready[0].timestamp == pytest.approx(7 + late * 1e9, abs=10)
