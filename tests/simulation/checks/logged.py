"""Each change is logged once: no message again before its opposite, no end without a beginning."""

from __future__ import annotations

import logging
import re

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Say

from ..driver import Check, Run

#: Topics: the texts of a problem, and of its end. A problem may change; no text is repeated.
_TOPICS = (
    ("outage", r"cannot be read: ", r"connected: "),
    ("hanging", r"guests not responding: |a libvirt call is hung", r"all guests respond again"),
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
