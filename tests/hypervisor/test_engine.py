"""What the simulation does not look at: the seconds in the engine's messages."""

from __future__ import annotations

from typing import Any

from telegraf_execd_libvirt.connection.requests import Listing, Piece
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.engine import Engine
from telegraf_execd_libvirt.hypervisor.journal import Journal
from telegraf_execd_libvirt.hypervisor.messages import Ended, Open, Opened, Plan, Say, TickDue

NAMES = [f"guest{number}" for number in range(150)]


def test_a_tick_that_takes_longer_than_the_interval() -> None:
    """The message has the time of one batch, not that of the tick so far."""
    plan = Plan("host", "qemu:///system", 5.0, "5s", by_name=True)
    engine = Engine(plan, max, lambda: [], Journal(plan))
    answers: dict[int, tuple[float, Any]] = {
        1: (0.0, None),  # the subscription to events
        2: (0.01, Listing(dict.fromkeys(NAMES, ""))),
        3: (0.2, Piece([Domain(name, True, {}) for name in NAMES[:100]], frozenset())),
    }
    engine.handle(TickDue(0, 1.0), 1.0)
    now, asked, texts = 1.0, 0, []
    while engine.actions:
        action = engine.actions.popleft()
        if isinstance(action, Open):
            engine.handle(Opened(action.link, 0.0), now)
        elif isinstance(action, Say):
            texts.append(action.text)
        elif hasattr(action, "request"):
            asked += 1
            if asked in answers:
                seconds, content = answers[asked]
                now += seconds
                engine.handle(Ended(action.link, seconds, content), now)
            else:
                engine.handle(TickDue(0, now + 0.1), now + 0.1)
    (text,) = (text for text in texts if "longer than the interval" in text)
    assert "one batch takes 0.2 s" in text
