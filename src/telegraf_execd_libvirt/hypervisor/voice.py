"""How often the log says the same about one hypervisor.

Invariant: of one subject, the same problem is logged at most once in ten minutes, then with a
count, and the number of different problems is bounded. A problem of the hypervisor itself may be
logged three times in that time if it has ended in between, as each may be news. The end of a
problem is logged if the problem was. A problem that stays is logged at the latest when the ten
minutes are over. No thread; the engine sets the clock.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Optional

from .messages import Action, Say

#: The subject of problems that let nothing be read.
STATE = "state"

#: The same problem is logged again after this.
SAME_SECONDS = 600.0

#: A problem of the hypervisor may be logged so often in that time, if it has ended in between.
MOST_TIMES = 3

#: The number of different problems of one subject that are logged in that time.
MOST_PROBLEMS = 10


@dataclass(eq=False)
class _Said:
    """When a problem was logged, how often it came since, and whether it has been over since."""

    at: float
    count: int = 0
    times: int = 1
    over: bool = False


@dataclass
class _Subject:
    """``said`` has the problems that were logged, by kind, ``open`` is the last of them until its
    end; ``held`` is one that may not be logged yet: its level, kind and text."""

    said: dict[str, _Said] = field(default_factory=dict)
    open: str = ""
    held: Optional[tuple[int, str, str]] = None
    most: int = 1


class Voice:
    """Makes the messages about one hypervisor, whose name begins each of them."""

    def __init__(self, name: str, actions: deque[Action]) -> None:
        #: The monotonic time.
        self.now = 0.0
        self._name = name
        self.actions = actions
        self.subjects: dict[str, _Subject] = {}
        #: The kinds of the problems that there are now, by subject.
        self.problems: dict[str, str] = {}

    @property
    def is_down(self) -> bool:
        """Whether the hypervisor cannot be read, which explains other problems."""
        return STATE in self.problems

    def say(self, level: int, text: str) -> None:
        self.actions.append(Say(level, f"{self._name}: {text}"))

    def problem(self, subject: str, level: int, text: str, kind: str = "", most: int = 1) -> None:
        """There is a problem, perhaps still the same one. Texts of the same ``kind`` are the same
        problem. It may be logged ``most`` times in ten minutes if it has ended in between."""
        found, kind = self.subjects.setdefault(subject, _Subject()), kind or text
        if self.problems.get(subject) == kind:
            return
        self.problems[subject] = kind
        found.most, found.held = most, None
        if found.open != kind:
            found.held = level, kind, text
            if kind in found.said:
                found.said[kind].count += 1
            self._say_held(found)

    def end(self, subject: str, text: str = "") -> None:
        """There is no problem any more; ``text`` says so, or nobody needs to know."""
        if self.problems.pop(subject, None) is None:
            return
        found = self.subjects[subject]
        if found.open and text:
            self.say(logging.INFO, text)
        found.open, found.held = "", None
        for said in found.said.values():
            said.over = True

    def tick(self) -> None:
        """Logs the problems whose time has come, and forgets old ones."""
        for subject in self.subjects.values():
            self._say_held(subject)
            for kind, said in [*subject.said.items()]:
                if self.now - said.at >= SAME_SECONDS * (2 if said.count else 1):
                    del subject.said[kind]

    def _say_held(self, subject: _Subject) -> None:
        if subject.held is None:
            return
        level, kind, text = subject.held
        recent = [other for other, s in subject.said.items() if self.now - s.at < SAME_SECONDS]
        before = subject.said.get(kind)
        if before and kind in recent and before.over and before.times < subject.most:
            before.times, before.count, before.over = before.times + 1, 0, False
        elif kind in recent or len(recent) >= MOST_PROBLEMS:
            return
        else:
            if before is not None and before.count > 1:
                text += f"; {before.count} times in {(self.now - before.at) / 60:.0f} minutes"
            subject.said[kind] = _Said(self.now)
        subject.held, subject.open = None, kind
        self.say(level, text)
