"""Globs select names as in Telegraf; wrong ones are explained with their position."""

from __future__ import annotations

import re
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.selection import compile_globs


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("web", ["web"], ["", "we", "web1", "Web", "xweb"]),
        ("web*", ["web", "web-1", "web.a/b", "web\n2", "web🐧"], ["we", "xweb"]),
        ("*", ["", "a", "a.b/c", "\n"], []),
        ("**b**", ["b", "ab", "bc"], ["", "a"]),
        ("?", ["a", "🐧", "\n", "/"], ["", "ab"]),
        ("web-?", ["web-1", "web-?"], ["web-", "web-10"]),
        ("[abc]", ["a", "b", "c"], ["", "d", "ab", "[abc]"]),
        ("[a-c]", ["a", "b", "c"], ["d", "-", "A"]),
        ("[a-cx-z0]", ["b", "y", "0"], ["d", "-", "1"]),
        ("[!a-c]", ["d", "!", "-", "\n"], ["a", "b", ""]),
        ("[a!]", ["a", "!"], ["b"]),
        ("[!!]", ["a"], ["!"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        (r"[\]\-\\]", ["]", "-", "\\"], ["a"]),
        (r"[\a-\c]", ["a", "b", "c"], ["d", "\\"]),
        ("[*?{},]", ["*", "?", "{", "}", ","], ["a"]),
        ("{web,db}-1", ["web-1", "db-1"], ["web", "web-2", "{web,db}-1", "webdb-1"]),
        ("{web,}1", ["web1", "1"], ["web", "web2"]),
        ("{}", [""], ["a", "{}"]),
        ("{a*,*b}c", ["ac", "axc", "bc", "xbc"], ["c", "xc", "acd"]),
        ("*{abcd,c}*d", ["abcd", "cd", "abcdd"], ["ab", "abc"]),
        ("{a,{b,c}d}e", ["ae", "bde", "cde"], ["ade", "be", "de"]),
        ("{[,}],?}x", [",x", "}x", "ax"], ["x"]),
        (r"\*\?\[\{\\\a", ["*?[{\\a"], ["xx[{\\a"]),
        (r"{a\,b\},c}", ["a,b}", "c"], ["a", "b}"]),
        ("!a", ["!a"], ["b", "a"]),
        ("a,b", ["a,b"], ["a", "b"]),
        ("a]b}c-^$.+()|", ["a]b}c-^$.+()|"], ["abc"]),
    ],
)
def test_names_that_a_glob_matches(glob: str, matching: list[str], other: list[str]) -> None:
    """Each element of a glob has its meaning, for all of the name."""
    globs = compile_globs((glob,))
    assert [name for name in [*matching, *other] if globs.matches(name)] == matching


def test_several_globs_match_if_one_does() -> None:
    """Globs are alternatives; without globs nothing matches."""
    globs = compile_globs(("web-*", "db", "db?"))
    names = ["web-1", "db", "db1", "db12", "web", ""]
    assert [name for name in names if globs.matches(name)] == ["web-1", "db", "db1"]
    assert not any(map(compile_globs(()).matches, names))


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("web[", 'character 4: the "[" has no "]"'),
        ("web[a-", 'character 4: the "[" has no "]"'),
        ("web[!", 'character 4: the "[" has no "]"'),
        (r"a[\]", 'character 2: the "[" has no "]"'),
        ("a[]", 'character 2: the "[" has no characters before its "]"'),
        ("a[!]b", 'character 2: the "[" has no characters before its "]"'),
        ("[abz-x]", 'character 6: the range "z-x" ends before it begins'),
        ("{web,db", 'character 1: the "{" has no "}"'),
        ("a{b,{c,d}", 'character 2: the "{" has no "}"'),
        ("{a,[b}", 'character 4: the "[" has no "]"'),
        ("web\\", "character 4: no character follows the backslash"),
        ("[a\\", "character 3: no character follows the backslash"),
        ("{" * 21 + "}" * 21, "character 21: more than 20 nested braces"),
        ("{" * 100_000, "character 21: more than 20 nested braces"),
    ],
)
def test_wrong_glob_is_explained(glob: str, message: str) -> None:
    """A wrong glob is a ValueError that names the mistake and its position, counted from 1."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compile_globs(("fine*", glob))


#: The elements of a glob: texts, `*` and `?`, characters in brackets, choices in braces.
ITEMS = st.recursive(
    st.sampled_from("ab-*?")
    | st.tuples(st.sampled_from(["", "!"]), st.text("abc", min_size=1, max_size=2)),
    lambda inner: st.lists(st.lists(inner, max_size=3), min_size=1, max_size=3),
    max_leaves=6,
)


def written(item: object) -> str:
    """One element as in a glob."""
    if isinstance(item, tuple):
        return f"[{item[0]}{item[1]}]"
    if isinstance(item, list):
        return "{" + ",".join("".join(map(written, choice)) for choice in item) + "}"
    return str(item)


def naive(items: list[object], name: str) -> bool:
    """Whether a sequence of elements matches, by trying everything."""
    if not items:
        return not name
    first, *rest = items
    if isinstance(first, list):
        return any(naive([*choice, *rest], name) for choice in first)
    if first == "*":
        return any(naive(rest, name[at:]) for at in range(len(name) + 1))
    if not name:
        return False
    if isinstance(first, tuple):
        fits = (name[0] in first[1]) != bool(first[0])
    else:
        fits = first in ("?", name[0])
    return fits and naive(rest, name[1:])


@given(st.lists(ITEMS, max_size=4), st.lists(st.text("abc-", max_size=5), max_size=8))
def test_globs_match_what_a_naive_matcher_matches(items: list[object], names: list[str]) -> None:
    """Any glob matches exactly the names that trying everything matches."""
    globs = compile_globs(("".join(map(written, items)),))
    for name in names:
        assert globs.matches(name) is naive(items, name)
        assert globs.matches(name) is naive(items, name), "remembered"


@given(st.text(), st.text())
def test_any_text_is_a_glob_or_explained(glob: str, name: str) -> None:
    """Any text is compiled, or is a ValueError with a position. A backslash before every character
    takes its special meaning."""
    problem = ""
    try:
        compile_globs((glob,)).matches(name)
    except ValueError as error:
        problem = str(error)
    assert not problem or re.match("character [0-9]+: ", problem)
    escaped = compile_globs(("".join(f"\\{char}" for char in name),))
    assert escaped.matches(name) and not escaped.matches(f"{name}x")


@pytest.mark.parametrize("glob", ["*a" * 30 + "*b", "{*a,*}" * 20 + "b", "{a,aa,*}" * 20 + "b"])
def test_hostile_glob_is_no_burden(glob: str) -> None:
    """Globs that make a backtracking matcher run for ages are decided."""
    assert not compile_globs((glob,)).matches("a" * 1_000)


def test_results_are_kept() -> None:
    """Users of the same globs share their results, whose number is limited; without globs there
    are none."""
    first, second = compile_globs(("shared*",)), compile_globs(("shared*",))
    assert first.matches("shared-1") and "shared-1" in second._known
    none = compile_globs(())
    assert not none.matches("web") and not none._known
    globs = compile_globs(("1*",))
    assert sum(globs.matches(str(number)) for number in range(40_000)) == 11_111
    assert len(globs._known) <= 32_768


@pytest.mark.parametrize(
    ("options", "existing", "mistakes"),
    [
        ({"domains": ("Web", "db", "x")}, [], []),
        ({"domains": ("db",)}, ["db"], []),
        (
            {"domains": ("Web", "db", "x")},
            ["web", "db"],
            [
                'domains: there is no domain "Web"; did you mean "web"?',
                'domains: there is no domain "x"; virsh list --all --name shows the names',
            ],
        ),
        (
            {"domain_include": ("wep", "b*")},
            ["web"],
            [
                'domain_include: no domain matches "wep"; did you mean "web"?',
                'domain_include: no domain matches "b*"; virsh list --all --name shows the names',
            ],
        ),
        (
            {"domain_include": ("web",), "domain_exclude": ("w*",)},
            ["web"],
            ["domain_exclude: it matches each domain that is left; it selects none of 1 domains"],
        ),
        (
            {"domain_state_include": ("paused",)},
            ["web", "db"],
            [
                "domain_state_include: no domain is in one of these states; "
                "it selects none of 2 domains"
            ],
        ),
    ],
)
def test_mistakes(options: dict[str, Any], existing: list[str], mistakes: list[str]) -> None:
    """Options that select nothing, and what helps."""
    selection = HypervisorConfig(**options).selection
    found = selection.mistakes(existing, selected=bool(options.get("domains")))
    assert [str(each) for each in found] == mistakes


def test_selected_names_and_states() -> None:
    """Names by options of names; libvirt's filters by states, one bit for all states without one of
    their own."""
    names = HypervisorConfig(domain_include=("w*",), domain_exclude=("*b",)).selection
    assert names.names(["web", "w1", "db"]) == ["w1"] and names.by_name and not names.by_state
    assert HypervisorConfig(domains=("db",)).selection.names(["web", "db"]) == ["db"]
    states = ("running", "paused", "shutoff", "crashed", "nostate")
    bits = [HypervisorConfig(domain_state_include=(state,)).selection.flags for state in states]
    assert bits == [
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF,
        *2 * [libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_OTHER],
    ]
    assert HypervisorConfig(domain_state_include=states).selection.flags == sum(bits[:4])
    paused = HypervisorConfig(domain_state_include=("paused",)).selection
    assert [paused.has_state({"state.state": state}) for state in (1, 3)] == [False, True]
