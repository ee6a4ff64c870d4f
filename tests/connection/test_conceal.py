"""Secrets of URIs in texts of libvirt's."""

from __future__ import annotations

import re
import sys
import threading
from dis import opname
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from telegraf_execd_libvirt.connection import conceal as concealment
from telegraf_execd_libvirt.connection.conceal import conceal, hide
from telegraf_execd_libvirt.log import LONGEST_LINE, one_line

SECRET = st.text(st.characters(exclude_categories=("Cs",))) | st.text("aB1/?#@:&=;%+ '\"\\[]")


def pieces(secret: str) -> list[str]:
    """All parts of a secret, of whole words, that are longer than two characters."""
    words = re.findall(r"\w+|\W", secret)
    runs = ["".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    return [run for run in runs if len(run) > 2 and re.search(r"\w", run)]


@given(user=SECRET, password=SECRET, value=SECRET)
@example(user="root", password="pass word", value="")
@example(user="DOM/user", password="a/b/c/d", value="/k/pass%20word")
@example(user="", password="", value=":00\n0")
def test_no_piece_of_a_secret_is_left(user: str, password: str, value: str) -> None:
    """A message of libvirt's about a URI has no piece of its secrets, however it is quoted or
    split, and not where libvirt has cut it."""
    assume(concealment._ORDINARY.isdisjoint(re.findall(r"\w+", value.lower())))
    uri = f"esx://{user}:{password}@h:1/?x={value}"
    before, concealment._hidden = concealment._hidden, ()
    try:
        hide(uri)
        for text in (uri, f"<'{uri}'>", f"<{uri} >", uri[: len(uri) // 2]):
            shown = conceal(text)
            assert not [p for s in (user, password, value) for p in pieces(s) if p in shown]
        for piece in {p for s in (user, password, value) for p in pieces(s)}:
            assert piece not in conceal(f"<{piece}>")
    finally:
        concealment._hidden = before


def test_connections_that_are_opened_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread hides its URI, wherever the other one is: here just before it keeps its own."""
    monkeypatch.setattr(concealment, "_hidden", ())
    other = threading.Thread(target=hide, args=("esx://root:second@h/",))

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes = frame.f_code is hide.__code__
        if event == "opcode" and opname[frame.f_code.co_code[frame.f_lasti]] == "STORE_GLOBAL":
            other.start()
            other.join(0.2)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    hide("esx://root:first@h/")
    sys.settrace(before)
    other.join()
    assert conceal("first second.") == "… …."


def test_words_of_the_program_and_of_paths_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only texts of libvirt's lose the pieces, and these keep ordinary words of paths."""
    monkeypatch.setattr(concealment, "_hidden", ())
    hide("qemu+ssh://libvirt@host/system?keyfile=/etc/keys/mine&sshauth=agent")
    assert conceal("agent: no such key in /etc/ssh") == "agent: no such key in /etc/ssh"
    assert conceal("libvirt@host: /etc/keys/mine: no") == "…@host: …: no"
    assert one_line("inputs.libvirt[0]") == "inputs.libvirt[0]"


@pytest.mark.parametrize("size", [1_000, 43_000, 1_000_000])
def test_a_long_text_of_libvirt_takes_no_time(size: int) -> None:
    """It is cut before it is searched."""
    hide("esx://root:secret@host/")
    assert len(one_line(conceal("://" * size))) == LONGEST_LINE
