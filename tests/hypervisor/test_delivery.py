"""Which domains of a tick are written, and when."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.delivery import Delivery, Reading

Pieces = list[str]
"""Domains by one letter each; a lower case letter is a domain that came incomplete."""


def accept(delivery: Delivery, piece: str, asked: float) -> str:
    """The letters of the domains to write now."""
    domains = [Domain(letter.upper(), True, {"asked": asked}) for letter in piece]
    partial = frozenset(letter.upper() for letter in piece if letter.islower())
    reading = delivery.accept(domains, partial, asked)
    assert not reading.incomplete and reading.asked == asked
    return "".join(domain.name for domain in reading.domains)


def rest(delivery: Delivery) -> dict[float, str]:
    """The letters of the domains at the end, by the time at which they were requested."""
    found: dict[float, str] = {}
    for reading in delivery.rest():
        assert reading.incomplete == {domain.name for domain in reading.domains}
        assert all(domain.stats["asked"] == reading.asked for domain in reading.domains)
        assert reading.asked not in found
        found[reading.asked] = "".join(domain.name for domain in reading.domains)
    return found


@pytest.mark.parametrize(
    ("case", "pieces", "written", "at_the_end"),
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
    case: str, pieces: Pieces, written: list[str], at_the_end: dict[float, str]
) -> None:
    """Each domain is written once: complete at once, or incomplete at the end."""
    delivery = Delivery()
    found = [accept(delivery, piece, asked) for asked, piece in enumerate(pieces)]
    assert found == written, case
    assert delivery.incomplete == {*"".join(at_the_end.values())}
    assert delivery.count == len({*"".join(pieces).upper()})
    assert rest(delivery) == at_the_end, case


letters = st.text("ABCDabcd", max_size=4).filter(lambda text: len({*text.upper()}) == len(text))


@given(st.lists(letters, max_size=8))
def test_no_domain_is_lost_or_written_twice(pieces: Pieces) -> None:
    """Whatever the order of the answers, each domain is written once, and complete if it ever
    came so."""
    delivery = Delivery()
    written = "".join(accept(delivery, piece, asked) for asked, piece in enumerate(pieces))
    late = "".join(rest(delivery).values())
    letters = "".join(pieces)
    assert {*written} == {letter for letter in letters if letter.isupper()}
    assert Counter(written + late) == Counter({*letters.upper()})
    assert delivery.count == len({*letters.upper()})


def test_a_whole_answer_is_not_copied() -> None:
    """The usual answer, whole and new, is passed on as the list that came."""
    domains = [Domain("A", True, {})]
    assert Delivery().accept(domains, frozenset(), 1.0) == Reading(domains, 1.0)
    assert Delivery().accept(domains, frozenset(), 1.0).domains is domains
