"""Which domains of a tick are written, and when."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.requests import (
    BatchRequest,
    ListRequest,
    Piece,
    Request,
    XmlRequest,
)
from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity
from telegraf_execd_libvirt.hypervisor.batch import Batch
from telegraf_execd_libvirt.hypervisor.tick import Tick

#: The domains of an answer by one letter each; lower case: it came incomplete.
PIECES = st.text("ABCDabcd", max_size=4).filter(lambda text: len({*text.upper()}) == len(text))


def written(tick: Tick, incomplete: bool = False) -> dict[int, set[str]]:
    """The names of the domains to write now, by the second in which they were asked."""
    found: dict[int, set[str]] = {}
    for reading in tick.ready:
        names = [domain.name for domain in reading.domains]
        assert reading.incomplete == (frozenset(names) if incomplete else frozenset())
        asked = reading.timestamp // 10**9
        assert all(domain.stats["asked"] == asked for domain in reading.domains)
        assert asked not in found and len({*names}) == len(names) > 0
        found[asked] = {*names}
    tick.ready.clear()
    return found


@given(st.lists(PIECES, max_size=8))
@example(["Ab", "aB", "b", "Cd", "cd", "", "d"])
@example(["ab", "c", "b"])
def test_each_domain_is_written_once(pieces: list[str]) -> None:
    """As soon as it comes complete, or else at the end, as it came last."""
    tick = Tick(timestamp=0, began=0.0, deadline=9.0, hung_at=0.0)
    done: set[str] = set()
    held: dict[str, int] = {}
    for asked, piece in enumerate(pieces):
        domains = [Domain(letter.upper(), True, {"asked": asked}) for letter in piece]
        partial = frozenset(letter.upper() for letter in piece if letter.islower())
        tick.accept(Piece(domains, partial), asked)
        new = {letter for letter in piece if letter.isupper()} - done
        done |= new
        held.update(dict.fromkeys(partial, asked))
        assert written(tick) == ({asked: new} if new else {})
    for name in done & held.keys():
        del held[name]
    assert tick.incomplete == held.keys() and tick.count == len(done) + len(held)
    tick.end()
    assert written(tick, incomplete=True) == {
        at: {name for name in held if held[name] == at} for at in held.values()
    }


def test_domains_wait_for_their_identities() -> None:
    """A domain without an identity is written once it is known, or with its last one if it cannot
    be read; one that is incomplete as well waits for the end."""
    known, last = Identity({"project": "shop"}), Identity({"project": "old"})
    tick = Tick(0, 0.0, 9.0, dict.fromkeys("ADE", last))
    domains = [Domain(name, True, {}, None) for name in "ABCDE"]
    tick.accept(Piece(domains, frozenset("C"), due="ABCDE"), 1.0)
    assert not tick.ready and tick.lacks and tick.untagged == 5
    assert [batch.request for batch in tick.queue] == [XmlRequest([*"ABCDE"])]
    tick.identify("ABCD", {"A": known, "C": known})  # no answer for E
    assert tick.untagged == 3
    tick.end()
    found = [(d.name, d.identity) for reading in tick.ready for d in reading.domains]
    expected = {"A": known, "B": NO_IDENTITY, "D": last, "C": known, "E": last}
    assert found == [*expected.items()]


def test_timestamps() -> None:
    """A request has the time of the tick, unless it was made because another one hung."""
    for asked, hung_at, late in ((0.0, None, 0), (0.7, None, 0), (0.2, 0.3, 0), (0.3, 0.3, 0.3)):
        tick = Tick(7, 100.0, 105.0, hung_at=None if hung_at is None else 100 + hung_at)
        tick.accept(Piece([Domain("A", True, {})], frozenset()), 100 + asked)
        assert tick.ready[0].timestamp == pytest.approx(7 + late * 1e9, abs=10)


@pytest.mark.parametrize(
    ("request_", "code", "failures"),
    [
        (BatchRequest(["a"]), 45, 1),  # access denied
        (BatchRequest(["a"]), 39, 2),  # too large
        (ListRequest(), 45, 2),
        (XmlRequest(["a"]), 45, 0),
    ],
)
def test_what_fails_a_tick(request_: Request, code: int, failures: int) -> None:
    """Two failures end a tick in which nothing was read. One without which nothing can be read, or
    that all batches share, counts twice; one batch may be the only one."""
    tick = Tick(0, 0.0, 5.0)
    tick.fail(LibvirtError(code, 7, "no"), Batch(request_), 1, False)
    assert tick.failures == failures and not tick.queue


def test_the_usual_time_is_that_of_whole_batches() -> None:
    """The time of a request for guests that came incomplete or were locked says nothing."""
    tick, batch = Tick(0, 0.0, 5.0), Batch(BatchRequest(["a"]))
    tick.done(Batch(BatchRequest(["b"]), retry=True), 3.0)
    assert not tick.took
    tick.done(batch, 0.1)
    assert tick.took == {None: 0.1}


def test_nobody_waits_for_a_batch_of_locked_guests() -> None:
    """A request that waits for the lock of the only guest of its batch is not repeated."""
    tick, batch = Tick(0, 0.0, 5.0), Batch(BatchRequest(["a", "b"]))
    tick.leave_out("a", batch)
    assert batch.names == ["b"] and not batch.done
    tick.leave_out("b", batch)
    assert batch.done
