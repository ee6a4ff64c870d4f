"""A fleet for the pictures of the documentation: ordinary load that goes up and down.

The rule: names are examples, and the plugin itself writes the lines.
"""

from __future__ import annotations

from support.answers import AGENT, NO_LIMIT, Answers, limits, said
from support.fleet import Disk, Fleet, Guest, Host, Nic, State

STEP = 10
END = 1_768_089_600
START = END - 4200

_ROLES = (
    # name, number, vCPUs, cores, memory in GiB, used, reads/s, writes/s, packets/s, project
    ("web", 6, 4, 1.4, 8, 0.55, 20, 45, 2600, "shop"),
    ("api", 4, 4, 2.1, 8, 0.62, 12, 60, 1900, "shop"),
    ("db", 3, 8, 3.2, 32, 0.83, 420, 310, 1500, "shop"),
    ("cache", 2, 2, 0.6, 16, 0.71, 1, 4, 5200, "shop"),
    ("build", 4, 8, 4.6, 16, 0.48, 160, 520, 300, "ci"),
    ("mail", 1, 2, 0.3, 4, 0.66, 25, 40, 120, "office"),
    ("files", 2, 2, 0.4, 8, 0.58, 240, 90, 1100, "office"),
    ("backup", 1, 2, 0.8, 4, 0.44, 600, 30, 900, "office"),
)


#: Quotas in microseconds of 100 ms, of a vCPU and of the whole guest; IOPS and bytes of a disk.
_LIMITS = {
    "build": (90_000, 850_000, 1_250, 64 << 20),
    "db": (-1, 500_000, 2_000, 128 << 20),
    "backup": (50_000, -1, 800, 20 << 20),
    "files": (-1, -1, 450, 0),
}
_ANSWERS: dict[str, Answers] = {
    "db-1": {"isPersistent": 1, "changes": ["memory"]},
    "mail-1": said(0, 1, 1),
}


def _limits(role: str, memory: int) -> Answers:
    """The limits of a guest by its role; the memory in KiB."""
    if role not in _LIMITS:
        return {}
    found = limits(*_LIMITS[role])
    others = {"emulator_quota": -1, "iothread_quota": -1}
    hard = {"hard_limit": memory + (1 << 20), "soft_limit": memory, "min_guarantee": 0}
    return {
        **found,
        "schedulerParameters": {**found["schedulerParameters"], **others},
        "memoryParameters": {**hard, "swap_hard_limit": NO_LIMIT},
    }


def _guests() -> list[Guest]:
    found: list[Guest] = []
    for role, number, vcpus, cores, memory, used, reads, writes, packets, project in _ROLES:
        for index in range(1, number + 1):
            scale = 1 + 0.17 * (index - number / 2)
            found.append(
                Guest(
                    f"{role}-{index}",
                    f"kvm{(len(found) * 3) % 4 + 1}",
                    vcpus=vcpus,
                    user=cores * scale * 0.8,
                    system=cores * scale * 0.2,
                    steal=0.012 * cores * scale,
                    memory=memory << 20,
                    used=int((memory << 20) * min(0.95, used * (0.9 + 0.1 * scale))),
                    faults=0.4 * scale,
                    disks=(
                        Disk(
                            "vda",
                            reads=reads * scale,
                            writes=writes * scale,
                            flushes=writes * scale / 8,
                            size=24_576,
                            read_ns=int(900_000 * scale + reads * 4_000),
                            write_ns=int(1_600_000 * scale + writes * 6_000),
                            capacity=40 << 30,
                            allocation=(12 + 3 * index) << 30,
                        ),
                        Disk(
                            "vdb", reads=reads * scale / 4, writes=writes * scale / 3, size=65_536
                        ),
                    )[: 2 if role in ("db", "files") else 1],
                    nics=(
                        Nic(
                            rx=packets * scale,
                            tx=packets * scale * 1.2,
                            size=640,
                            rx_drop=0.4 * index if role == "cache" else 0,
                        ),
                    ),
                    project=project,
                    title=f"{role} {index}",
                    wave=0.35,
                    agent=AGENT if role == "db" else {},
                    answers={**_limits(role, memory << 20), **_ANSWERS.get(f"{role}-{index}", {})},
                )
            )
    return found


FLEET = Fleet(
    hosts=[
        Host(f"kvm{n}", cpus=48, memory=192 << 20, collect_ns=24_000_000 + 3_000_000 * n)
        for n in range(1, 5)
    ],
    guests=(
        *_guests(),
        Guest("test-1", "kvm2", state=State.CRASHED, reason=1, user=0, system=0, used=None),
        Guest("test-2", "kvm3", state=State.PAUSED, reason=State.IO_ERROR, user=0, system=0),
        Guest("old-mail", "kvm4", state=State.SHUT_OFF, answers={"autostart": 1}),
        Guest("db-2", "kvm4", state=State.SHUT_OFF, vcpus=8, memory=32 << 20),
        Guest(
            "legacy",
            "kvm1",
            complete=False,
            user=0.2,
            system=0.1,
            wave=0.2,
            control=(2, 0, 340_000),
            process=("blocked", 9, 80),
        ),
    ),
    sources=(
        *("domain_config", "message", "guest_agent", "cpu_limit", "memory_limit", "block_limit"),
    ),
)
