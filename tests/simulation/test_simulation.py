"""The engine in simulated time: seeds, and the proof that a seed determines its run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from simulation.checks import ALL
from simulation.driver import Run
from simulation.runner import check
from simulation.scenario import Fault, draw

#: One test for so many seeds, so that the tests are shared among processes.
_AT_ONCE, _SEEDS = 20, 160


@pytest.mark.parametrize("first", range(0, _SEEDS, _AT_ONCE))
def test_seeds(first: int) -> None:
    """All invariants hold."""
    reports = [check(seed) for seed in range(first, first + _AT_ONCE)]
    assert not any(reports), "\n".join(reports)


@cache
def logs() -> str:
    """The logs of ten seeds."""
    lines: list[str] = []
    for seed in range(10):
        Run(draw(seed), (), lines).go()
    return "\n".join(lines)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_log(hash_seed: str) -> None:
    """The same seeds give the same log byte for byte, also in another process."""
    code = "from simulation.test_simulation import logs; print(logs())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    folder = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert ran.stdout.decode() == logs() + "\n"


def test_a_lock_at_a_retry() -> None:
    """Of two guests that are busy, one is locked when both are asked again: the other one is
    complete."""
    two = replace(draw(0), guests=2, running=1.0, interval=1.0, timeout=5.0, calls=1, trip=2e-4)
    simple = {"by_name": False, "host": False, "tags": False, "own": False, "remote": False}
    busy = [Fault(5.0, "busy", 0.009, guest) for guest in (0, 1)]
    faults = [*busy, Fault(5.008, "lock", 2.5, 0)]
    plain = replace(two, each=1e-3, ticks=10, calm=5, sources=(), intervals={}, faults=faults)
    run = Run(replace(plain, **simple), ALL)  # type: ignore[arg-type]
    run.go()
    assert [tick.number for tick in run.ticks if "g1" in tick.incomplete] == []
    assert [tick.number for tick in run.ticks if tick.outcome and tick.outcome.locked] == [6, 7]
