"""Each change is logged once: no message again before its opposite, no end without a beginning.

After each tick the last messages say what its outcome says.
"""

from __future__ import annotations

import logging
import re

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Say

from ..driver import Check, Run, TickRecord

_NOT_RESPONDING = "guests not responding: "

#: Topics: the texts of a problem, and of its end. A problem may change; no text is repeated.
_TOPICS = (
    ("outage", r"cannot be read: ", r"connected: "),
    ("hanging", rf"{_NOT_RESPONDING}|a libvirt call is hung", r"all guests respond again"),
    ("locked", r"guests locked: |calls about all domains hang", r"no guest is locked any more"),
    ("block", r"storage hangs for several guests", r"reading the group block again"),
    ("unread", r"\d+ domains not read: ", r"(?!)"),
    ("late", r"a call took ", r"(?!)"),
    ("slow", r"collecting takes longer", r"(?!)"),
    ("full", r"the daemon has no free place", r"(?!)"),
)


class Logged(Check):
    """The messages."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._last: dict[str, str] = {}
        self._said: dict[str, set[str]] = {}

    def action(self, action: Action) -> None:
        if isinstance(action, Outcome) and action.up and not action.unread:
            self._last.pop("unread", None)  # its end is not logged
        if not isinstance(action, Say):
            return
        name, _, text = action.text.partition(": ")
        source, _, rest = text.partition(": ")
        if source.startswith("source"):
            if action.level > logging.DEBUG:  # below, the log of the hypervisor reports it
                self._source(source, rest)
            return
        if text in ("simulated", "internal error: simulated"):  # a defect
            return
        for topic, problem, end in _TOPICS:
            if re.match(problem, text) or re.match(end, text):
                if self._last.get(topic) == text:
                    self.fail(f"again: {text}")
                if re.match(end, text) and topic not in self._last and topic != "outage":
                    self.fail(f"the end of nothing: {text}")
                self._last[topic] = text
                return
        self.fail(f"an unknown message: {name}: {text}")

    def tick(self, tick: TickRecord) -> None:
        outcome, last = tick.outcome, self._last
        assert outcome is not None
        if outcome.up is not last.get("outage", "").startswith("connected: "):
            self.fail(f"up is {outcome.up}, but the last message is {last.get('outage')}")
        first = min(outcome.incomplete, default="")
        hanging = last.get("hanging", "").partition(", ")[0]
        if outcome.up and first and hanging.partition(" and ")[0] != f"{_NOT_RESPONDING}{first}":
            self.fail(f"incomplete: {sorted(outcome.incomplete)}, but: {hanging}")
        if outcome.up and not first and hanging.startswith(_NOT_RESPONDING):
            self.fail(f"all are complete, but: {hanging}")
        locked = last.get("locked", "").startswith("guests locked: ")
        if outcome.up and outcome.locked and not locked:
            self.fail(f"guests are locked, but: {last.get('locked')}")

    def _source(self, source: str, text: str) -> None:
        said = self._said.setdefault(source, set())
        if text.endswith("works again"):
            if not said:
                self.fail(f"{source} works again, but it did not fail")
            said.clear()
        elif text in said:
            self.fail(f"{source} again: {text}")
        else:
            said.add(text)
