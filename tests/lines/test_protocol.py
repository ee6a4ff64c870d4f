"""Line protocol, read back by an independent parser."""

from __future__ import annotations

import math
import re
import sys
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from telegraf_execd_libvirt.lines.protocol import (
    Unsigned,
    escape_key,
    escape_measurement,
    format_line,
    format_tags,
    format_value,
)

# Parsers disagree about a backslash before an escaped character. For it the reference is the text
# itself, which is the same as that of Telegraf's serializer.
AMBIGUOUS = "\\"
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=AMBIGUOUS))
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)))

# The newest parser for Python 3.9 leaves the escapes in string fields as they are.
OLD_PARSER = int(version("line-protocol-parser").partition(".")[0]) < 2
FIELD_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='\\"' if OLD_PARSER else "")
)


@given(domain=TEXT.filter(bool), other=TEXT.filter(bool), value=FIELD_TEXT)
@example(domain="a b,c=d", other='"quoted"', value="" if OLD_PARSER else "ends with \\")
@example(domain=" ", other=",=", value="" if OLD_PARSER else '\\"')
def test_texts_read_back(domain: str, other: str, value: str) -> None:
    """A parser reads back the same tag values and the same string field, whatever they contain."""
    line = format_line("m", {"domain_name": domain, "other": other}, [("f", value)], 1)
    parsed = parse_line(line)
    assert parsed["tags"] == {"domain_name": domain, "other": other}
    assert parsed["fields"] == {"f": value}


@given(name=ANY_TEXT, tag=ANY_TEXT, field=ANY_TEXT)
def test_tags_and_keys_never_break_a_line(name: str, tag: str, field: str) -> None:
    """No measurement, tag or field key can add a line, a tag or a field."""
    line = format_line(f"m{name}", {"t": tag}, [(f"k{field}", 1), ("end", 2)], 1)
    assert len(line.splitlines()) == 1 and line.endswith(" 1\n")
    head, fields, stamp = _split(line.rstrip("\n"), " ")
    assert stamp == "1"
    assert len(_split(head, ",")) <= 2
    assert len(_split(fields, ",")) == 2


@given(ANY_TEXT)
@example("\nlibvirt_state,domain_name=victim state=5i")
def test_a_string_never_breaks_a_line(value: str) -> None:
    """No string field can add a line, and its text stays readable."""
    line = format_line("m", {}, [("f", value)], 1)
    assert line.splitlines(keepends=True) == [line]
    if not OLD_PARSER:
        shown = re.sub(
            "[\x00-\x1f\x7f-\x9f\u2028\u2029]",
            lambda found: found[0].encode("unicode_escape").decode().replace("x0c", "f"),
            value,
        )
        assert parse_line(line)["fields"] == {"f": shown}


def _split(text: str, separator: str) -> list[str]:
    """Split at each separator without a backslash before it."""
    parts, part = [], ""
    for index, char in enumerate(text):
        if char == separator and not (index and text[index - 1] == "\\"):
            parts.append(part)
            part = ""
        else:
            part += char
    return [*parts, part]


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@example(number=1e22)
@example(number=-0.0)
@example(number=5e-324)
def test_floats_read_back(number: float) -> None:
    """A float is written without exponent, and reads back as the same number."""
    text = format_value(number, False)
    assert text is not None and "e" not in text.lower()
    assert float(text) == number
    if not 0 < abs(number) < sys.float_info.min:  # the parser's strtod refuses subnormal numbers
        assert parse_line(f"m f={text} 1")["fields"] == {"f": number}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_omitted(number: float) -> None:
    """A field of NaN or infinity is omitted, and so is a line without fields."""
    assert format_value(number, False) is None
    assert format_line("m", {}, [("f", number), ("g", 1)], 7) == "m g=1i 7\n"
    assert format_line("m", {}, [("f", number)], 7) == ""


@pytest.mark.parametrize(
    ("value", "uint_support", "expected"),
    [
        (0, False, "0i"),
        (-5, True, "-5i"),
        (Unsigned(5), False, "5i"),
        (Unsigned(5), True, "5u"),
        (Unsigned(2**63), False, "9223372036854775807i"),
        (Unsigned(2**64 - 1), True, "18446744073709551615u"),
        (Unsigned(2**70), True, "18446744073709551615u"),
        (Unsigned(-1), True, "-1i"),
        (-(2**63) - 1, False, "-9223372036854775808i"),
        (True, True, "true"),
        (False, False, "false"),
        (5.0, False, "5"),
        (0.25, False, "0.25"),
        ("", False, '""'),
        ("a\nb", False, r'"a\\nb"'),
        ("\t\f\r\x0b\x1b\x85\u2028", False, r'"\\t\\f\\r\\x0b\\x1b\\x85\\u2028"'),
        ("x" * 100_000, False, f'"{"x" * 32_000}"'),
    ],
)
def test_values(value: Any, uint_support: bool, expected: str) -> None:
    """Values are written as by Telegraf's serializer, but as one line of bounded length."""
    assert format_value(value, uint_support) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b=c d", r"a\,b\=c\ d"),
        ("a\tb\nc\fd\re", r"a\tb\nc\fd\re"),
        ("a\x0b\x1c\x85\u2028\u2029", r"a\x0b\x1c\x85\u2028\u2029"),
        ("x" * 100_000, "x" * 32_000),
        ("a\\", "a"),
        ("a\\\\", "a"),
        ("\\", ""),
        ("a\\b", "a\\b"),
        ('"', '"'),
    ],
)
def test_keys_and_tags(text: str, expected: str) -> None:
    """Keys and tag values are escaped as by Telegraf's serializer."""
    assert escape_key(text) == expected


def test_measurements_and_lists_of_tags() -> None:
    """The equals sign of a measurement is not escaped. Tags are sorted by key; those without key or
    value are omitted."""
    assert escape_measurement("a=b c,d") == r"a=b\ c\,d"
    assert format_tags({"b": "2", "a": "1", "": "x", "c": "", "d": "\\"}) == ",a=1,b=2"
