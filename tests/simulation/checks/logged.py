"""Each change is logged once: no message again before its opposite, no end without a beginning.

The same problem is logged at most once in ten minutes, one of the hypervisor three times if it has
ended in between, and few problems of one subject. After each tick the last messages say what its
outcome says, but for a problem that was logged so shortly before.
"""

from __future__ import annotations

import logging
import re

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Say

from ..driver import Check, Run, TickRecord

_NOT_RESPONDING = "guests not responding: "

#: The same problem is logged again after this; so many problems of a subject are logged in it.
_SAME_SECONDS = 600.0
_MOST_PROBLEMS = 10
_MOST_TIMES = 3

#: How often a problem has come since it was logged.
_OFTEN = re.compile(r"; \d+ times in \d+ minutes$")

#: Topics: the texts of a problem, and of its end. A problem may change; no text is repeated.
_TOPICS = (
    ("outage", r"cannot be read: ", r"connected: "),
    ("hanging", rf"{_NOT_RESPONDING}|a libvirt call is hung", r"all guests respond again"),
    ("locked", r"guests locked: |calls about all domains hang", r"no guest is locked any more"),
    ("block", r"storage hangs for several guests", r"reading the group block again"),
    ("unread", r"\d+ domains not read: ", r"(?!)"),
    ("late", r"a call took ", r"(?!)"),
    ("empty", r"the hypervisor has no domains", r"(?!)"),
    ("paused", r"stdout was not read for ", r"(?!)"),
    ("slow", r"collecting takes longer", r"(?!)"),
    ("full", r"the daemon has no free place", r"(?!)"),
)


class Logged(Check):
    """The messages."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._last: dict[str, str] = {}
        self._failed: set[str] = set()
        #: For each topic, when each problem was logged, and the problems since the last end.
        self._times: dict[str, dict[str, list[float]]] = {}
        self._since_end: dict[str, set[str]] = {}

    def action(self, action: Action) -> None:
        if isinstance(action, Outcome) and action.up:
            for topic, lasts in (("unread", action.unread), ("empty", action.existing == 0)):
                if not lasts:  # its end is not logged
                    self._last.pop(topic, None)
                    self._since_end.pop(topic, None)
        if not isinstance(action, Say):
            return
        name, _, text = action.text.partition(": ")
        source, _, rest = text.partition(": ")
        if source.startswith("source"):
            if action.level > logging.DEBUG:  # below, the log of the hypervisor reports it
                self._source(source, rest)
            return
        if _OFTEN.sub("", text) in ("simulated", "internal error: simulated"):  # a defect
            return
        took = re.match(r"a call took ([\d.]+) s, longer than the timeout", text)
        if took and float(took[1]) + 0.05 < self.run.scenario.timeout:
            self.fail(f"not longer than the timeout: {text}")
        for topic, problem, end in _TOPICS:
            if re.match(problem, text) or re.match(end, text):
                if re.match(problem, text):
                    text = self._problem(topic, text)
                else:
                    self._since_end.pop(topic, None)
                if self._last.get(topic) == text:
                    self.fail(f"again: {text}")
                if re.match(end, text) and topic not in self._last and topic != "outage":
                    self.fail(f"the end of nothing: {text}")
                self._last[topic] = text
                return
        self.fail(f"an unknown message: {name}: {text}")

    def _problem(self, topic: str, text: str) -> str:
        """A problem is logged; returns it without the count."""
        times, now = self._times.setdefault(topic, {}), self.run.clock.now
        is_repeated = _OFTEN.search(text) is not None
        text = _OFTEN.sub("", text)
        if is_repeated and text not in times:
            self.fail(f"repeated, but never logged: {text}")
        recent = [at for at in times.get(text, ()) if now - at < _SAME_SECONDS]
        since_end = self._since_end.setdefault(topic, set())
        most = 1 if topic.startswith("source") else _MOST_TIMES
        if len(recent) >= most or (recent and text in since_end):
            self.fail(f"again within ten minutes: {text}")
        times[text] = [*recent, now]
        since_end.add(text)
        if sum(now - at[-1] < _SAME_SECONDS for at in times.values()) > _MOST_PROBLEMS:
            self.fail(f"too many problems in ten minutes: {text}")
        return text

    def _is_held(self, topic: str, start: str) -> bool:
        """Whether a problem that begins like this may not be logged at this moment."""
        times, now = self._times.get(topic, {}), self.run.clock.now
        recent = [text for text, at in times.items() if now - at[-1] < _SAME_SECONDS]
        return len(recent) >= _MOST_PROBLEMS or any(text.startswith(start) for text in recent)

    def tick(self, tick: TickRecord) -> None:
        outcome, last = tick.outcome, self._last
        assert outcome is not None
        if self.run.waiting_results:
            return  # messages come first, also those of the next tick
        is_up = last.get("outage", "").startswith("connected: ")
        if outcome.up and "outage" in last and not is_up:
            self.fail(f"up, but the last message is {last['outage']}")
        if not outcome.up and is_up and not self._is_held("outage", "cannot be read: "):
            self.fail(f"not up, but the last message is {last['outage']}")
        first = min(outcome.incomplete, default="")
        hanging = last.get("hanging", "").partition(", ")[0]
        expected = f"{_NOT_RESPONDING}{first}"
        is_right = hanging.partition(" and ")[0] == expected
        if outcome.up and first and not (is_right or self._is_held("hanging", expected)):
            self.fail(f"incomplete: {sorted(outcome.incomplete)}, but: {hanging}")
        is_over = self._is_held("hanging", "a libvirt call is hung")
        if outcome.up and not first and hanging.startswith(_NOT_RESPONDING) and not is_over:
            self.fail(f"all are complete, but: {hanging}")
        locked = last.get("locked", "").startswith("guests locked: ")
        locked = locked or self._is_held("locked", "guests locked: ")
        if outcome.up and outcome.locked and not locked:
            self.fail(f"guests are locked, but: {last.get('locked')}")

    def _source(self, source: str, text: str) -> None:
        if text.endswith("works again"):
            if source not in self._failed:
                self.fail(f"{source} works again, but it did not fail")
            self._failed.remove(source)
            self._since_end.pop(source, None)
        else:
            self._problem(source, text)
            self._failed.add(source)
