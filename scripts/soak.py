"""Long run, too long for the tests: no leaks, and recovery from each failure of the daemon.

First 10,000 ticks against a scripted daemon with another domain at each tick, which drops its
connections at every 100th tick and does not answer at every 500th. Then, if a hypervisor can be
started, minutes in which its daemon is stopped, killed and restarted at random, and a guest comes
and goes after each failure. It prints figures; status 1: one is out of bounds.

Usage: python scripts/soak.py [--ticks N] [--minutes M] [--seed S]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.hypervisor import Hypervisor
from support.missing import Missing
from support.plugin import Plugin
from support.server import Daemon
from telegraf_execd_libvirt.sources import SOURCES

#: All sources at each tick, so that their connections are dropped and hang too.
OPTIONS = (
    f"additional_statistics = [{', '.join(repr(name) for name in ('health', *SOURCES))}]\n"
    + "".join(f'[inputs.libvirt.{name}]\ninterval = "1ms"\n' for name in SOURCES)
).replace("'", '"')

#: Threads, open files, KiB of memory.
Figures = tuple[int, int, int]


def figures(pid: int) -> Figures:
    """The threads, open files and KiB of memory of a process."""
    proc = Path("/proc") / str(pid)
    memory = next(
        line.split()[1]
        for line in (proc / "status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return len([*(proc / "task").iterdir()]), len([*(proc / "fd").iterdir()]), int(memory)


class Ticker:
    """Ticks a plugin and discards its output."""

    def __init__(self, config: Path) -> None:
        self.plugin = Plugin("--config", config)

    def tick(self) -> bool:
        """Run one tick until its health metric arrives; return whether the hypervisor was read."""
        seen = len(self.plugin.metrics.lines)
        self.plugin.tick()
        lines = self.plugin.metrics.wait_for(
            lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]),
            "a tick's health",
        )
        self.plugin.metrics.forget()
        return any(" up=1i," in line for line in lines[seen:])


def leaks(folder: Path, ticks: int) -> bool:
    """Run the ticks against the scripted daemon; return whether nothing leaked."""
    path = folder / "sock"
    config = folder / "scripted.conf"
    config.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "qemu+unix:///system?socket={path}"\n'
        f'timeout = "500ms"\n{OPTIONS}'
    )
    daemon = Daemon(path)
    ticker = Ticker(config)
    read, found = 0, []
    print(f"{'ticks':>7} {'read':>7} {'threads':>8} {'files':>6} {'KiB':>8}")
    try:
        for number in range(1, ticks + 1):
            if number % 500 == 250:
                daemon.silent = True
            if number % 100 == 0:
                daemon.close()
                daemon = Daemon(path)
            daemon.replace_guest()
            read += ticker.tick()
            if number % 500 == 250:
                daemon.answer()
            if number % (ticks // 10) == 0:
                for _ in range(3):  # let hung calls end
                    read += ticker.tick()
                time.sleep(0.1)  # let threads clean up after their calls
                now = figures(ticker.plugin.pid)
                found.append(now)
                print(f"{number:>7} {read:>7} {now[0]:>8} {now[1]:>6} {now[2]:>8}", flush=True)
        status = ticker.plugin.finish()
    finally:
        ticker.plugin.close()
        daemon.close()
    good = is_flat(found) and status == 0
    print(f"exit status {status}; {'flat' if good else 'NOT FLAT'}")
    return good


def trouble(folder: Path, minutes: float) -> bool:
    """Stop, kill and restart a daemon at random; return whether the plugin recovers each time."""
    longest = 0.0
    found: list[Figures] = []
    with Hypervisor(linux=False) as hypervisor:
        config = folder / "real.conf"
        config.write_text(
            f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\ntimeout = "2s"\n{OPTIONS}'
        )
        ticker = Ticker(config)
        try:
            ticks_for(ticker, 3)
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end or len(found) < 2:  # one failure for each half
                what = random.choice(("stop", "kill", "stop and kill", "restart"))
                if "stop" in what:
                    hypervisor.stop_daemon()
                if what == "stop and kill":
                    ticks_for(ticker, random.uniform(1, 8))
                if what != "stop":
                    hypervisor.kill_daemon()
                if what != "restart":
                    ticks_for(ticker, random.uniform(1, 8))
                if what == "stop":
                    hypervisor.continue_daemon()
                else:
                    hypervisor.start_daemon()
                back = time.monotonic()
                while not ticker.tick():
                    time.sleep(0.2)
                longest = max(longest, time.monotonic() - back)
                come_and_go(ticker, hypervisor)
                ticks_for(ticker, random.uniform(1, 3))
                found.append(figures(ticker.plugin.pid))
            lines = [line for line in ticker.plugin.log.lines if "count as one" not in line]
            ticker.plugin.finish()
        finally:
            ticker.plugin.close()
    good = longest < 5 and is_flat(found)
    print(f"{len(found)} failures; longest time until metrics returned: {longest:.1f} s")
    print(f"{len(lines)} log lines; at most in the first half, and then:")
    for part in halves(found):
        print("  threads {}, files {}, KiB {}".format(*part))
    print("good" if good else "BAD")
    return good


def come_and_go(ticker: Ticker, hypervisor: Hypervisor) -> None:
    """Define, start, stop and undefine a guest, which is a new one for libvirt, between ticks."""
    for step in (
        hypervisor.define,
        hypervisor.start_guest,
        hypervisor.stop_guest,
        hypervisor.undefine,
    ):
        step("visitor")
        ticker.tick()


def halves(found: list[Figures]) -> tuple[list[int], list[int]]:
    """The largest figures of the first half, and those of the second one. Connections come and go
    in both halves, so the second one has more only if something leaks."""
    half = len(found) // 2
    return [max(each) for each in zip(*found[:half])], [max(each) for each in zip(*found[half:])]


def is_flat(found: list[Figures]) -> bool:
    """Whether threads and files do not become more, and memory hardly."""
    first, last = halves(found)
    return last[0] <= first[0] and last[1] <= first[1] and last[2] < first[2] * 1.05


def ticks_for(ticker: Ticker, seconds: float) -> None:
    """Tick every half second for this long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ticker.tick()
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--ticks", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as folder:
        good = leaks(Path(folder), options.ticks)
        if options.minutes:
            try:
                good &= trouble(Path(folder), options.minutes)
            except Missing as missing:
                print(f"skipped: needs {missing}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
