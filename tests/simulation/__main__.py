"""Run seeds on all CPUs until one fails: python -m simulation, in tests/.

SEED=7 runs one seed and prints its log, shrunk if it fails. SEEDS=100000 runs so many; without it
the seeds go on until stopped. START=1000 is the first one.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from itertools import count

from .runner import check, failure, shrink
from .scenario import draw

_MOST_FAILURES = 10
_PROGRESS_SECONDS = 10.0


def one(seed: int) -> int:
    """Runs one seed and prints its log."""
    scenario = draw(seed)
    if problem := failure(scenario):
        scenario = shrink(scenario, problem)
    log: list[str] = []
    problem = failure(scenario, log)
    print(scenario, *log, problem or "passes", sep="\n")
    return 1 if problem else 0


def many(seeds: Iterable[int]) -> int:
    """Runs seeds and prints the failures."""
    began = told = time.monotonic()
    done = failures = 0
    with multiprocessing.Pool() as pool:
        for text in pool.imap_unordered(check, seeds, chunksize=20):
            done += 1
            if text:
                failures += 1
                print(text, flush=True)
                if failures >= _MOST_FAILURES:
                    break
            now = time.monotonic()
            if now - told > _PROGRESS_SECONDS:
                told = now
                print(f"{done} seeds, {done / (now - began):.0f} a second", flush=True)
    print(f"{done} seeds, {failures} failures")
    return 1 if failures else 0


def main() -> int:
    """Reads the environment."""
    if "SEED" in os.environ:
        return one(int(os.environ["SEED"]))
    start = int(os.environ.get("START", "0"))
    if "SEEDS" in os.environ:
        return many(range(start, start + int(os.environ["SEEDS"])))
    return many(count(start))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
