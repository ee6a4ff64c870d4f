"""The source message: what libvirt says about domains."""

from __future__ import annotations

import pytest

from support.scope import FakeScope, Thing, read

DEPRECATED, TAINTED = 1, 2
KINDS = {
    TAINTED: ["tainted: custom-argv", "tainted: high privileges"],
    DEPRECATED: ["deprecated configuration: CPU model 'old'"],
    4: ["I/O error: disk='vda', index='1', path='/disk', message='no\nspace'"],
}


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ((), "tainted=0i,deprecated=0i,io_errors=0i"),
        (
            (TAINTED,),
            'tainted=2i,deprecated=0i,io_errors=0i,tainted_names="custom-argv, high privileges"',
        ),
        (
            (DEPRECATED, 4),
            "tainted=0i,deprecated=1i,io_errors=1i,deprecated_names=\"CPU model 'old'\","
            "io_error=\"I/O error: disk='vda', index='1', path='/disk', message='no space'\"",
        ),
    ],
)
def test_message(has: tuple[int, ...], expected: str) -> None:
    """Each kind has its number and its words, whatever the language of the daemon. A domain
    without messages is asked once."""
    every = [text for kind in KINDS for text in KINDS[kind] if kind in has]
    answers = {
        "messages": lambda flag: [t for t in every if not flag or t in KINDS[flag]],
    }
    scope = FakeScope(Thing("a", answers), Thing("failing"), Thing("off", answers, number=-1))
    (line,) = read("message", scope)
    start, fields = line.split(" ", 1)
    assert start == "libvirt_message,domain_name=a,project=shop"
    assert sorted(fields.split(",")) == sorted(expected.split(","))
    assert len(scope.calls) == (4 if has else 2)


@pytest.mark.parametrize("flag", [DEPRECATED, TAINTED])
def test_a_domain_that_ends_between_the_calls(flag: int) -> None:
    """Messages whose kind is not known are no I/O errors."""
    every = [text for texts in KINDS.values() for text in texts]
    ends = {"messages": lambda asked: None if asked == flag else every}
    assert read("message", FakeScope(Thing("a", ends))) == []
