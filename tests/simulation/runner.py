"""Run seeds, and shrink the scenario of one that fails.

Invariant: a run that raises anything is a failure; a smaller scenario counts only if the same check
fails.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

from .checks import ALL
from .driver import Run, Violation
from .scenario import Scenario, draw


def failure(scenario: Scenario, log: Optional[list[str]] = None) -> str:
    """What is wrong in the run of a scenario; empty if nothing is."""
    try:
        Run(scenario, ALL, log).go()
    except Violation as violation:
        return str(violation)
    except Exception as defect:  # one of the engine, or of the simulation
        frame = traceback.extract_tb(defect.__traceback__)[-1]
        return f"{type(defect).__name__} {frame.name}:{frame.lineno} {defect}"
    return ""


def shrink(scenario: Scenario, problem: str) -> Scenario:
    """The smallest scenario that can be found in which the same check fails."""
    kind = problem.split()[0]
    while True:
        for smaller in _smaller(scenario):
            if failure(smaller).split()[:1] == [kind]:
                scenario = smaller
                break
        else:
            return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    faults = list(scenario.faults)
    for at in range(len(faults)):
        yield replace(scenario, faults=faults[:at] + faults[at + 1 :])
    if scenario.sources:
        yield replace(scenario, sources=scenario.sources[1:])
    numbers = {number for fault in faults for number in fault.neighbours(scenario.guests)}
    for guests in (scenario.guests // 2, scenario.guests - 1):
        if max(numbers, default=0) < guests:
            yield replace(scenario, guests=guests)
    simple = {"calls": 1, "by_name": False, "host": False, "tags": False, "own": False}
    if scenario.intervals:
        yield replace(scenario, intervals={})
    if scenario.irregular:
        yield replace(scenario, irregular=0.0)
    for name, value in simple.items():
        if getattr(scenario, name) != value:
            yield replace(scenario, **{name: value})  # type: ignore[arg-type]


def report(seed: int, problem: str) -> str:
    """A failing seed, and the smallest schedule that fails in the same way."""
    scenario = shrink(draw(seed), problem)
    faults = "\n".join(f"  {fault}" for fault in scenario.faults)
    rest = replace(scenario, faults=())
    return f"SEED={seed} fails: {problem}\n{rest}\n{faults}\n  {failure(scenario)}"


def check(seed: int) -> str:
    """A report about this seed; empty if it passes."""
    problem = failure(draw(seed))
    return report(seed, problem) if problem else ""
