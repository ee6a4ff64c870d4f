"""The call to a guest's agent: whether it can answer, for how long it may take, and what is asked.

Invariant: an agent's timeout, which holds for all clients, is libvirt's default again after each
call, or as soon as that can be set. Only the kinds of information that are written are asked for,
unless the agent lacks one of them: then libvirt leaves out what it lacks only if all are asked for.
"""

from __future__ import annotations

import time
from typing import Any, Optional

from ..domain.record import is_arriving
from .source import Scope

_CHANNEL = "org.qemu.guest_agent.0"

#: The method that limits the answers of an agent for all clients, and libvirt's default
#: (VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK): commands of others, such as the freeze before a
#: backup, may take long.
_LIMIT, _WAIT = "agentSetResponseTimeout", -2

#: virDomainState of a domain whose CPUs run.
_RUNNING = 1

#: VIR_DOMAIN_GUEST_INFO_*: users, system, time zone, host name, file systems, interfaces; the load,
#: which libvirt has since 11.2; and all that libvirt and the agent have, also disks.
_KINDS, _LOAD, _ALL = 1 | 2 | 4 | 8 | 16 | 64, 128, 0

#: libvirt's numbers of errors: it does not know a kind; a timeout, an agent that is not responding
#: or has lost synchronization. 0 is no error of libvirt's.
_UNKNOWN_KIND = 8
_SILENT = (0, 68, 86, 97)

#: Seconds until an agent that lacked a kind is asked for the kinds again: a frozen one has few.
_LACKS_SECONDS = 3600.0


def is_ready(scope: Scope, handle: Any) -> bool:
    """Whether a domain's agent is connected and its CPUs run: a paused guest cannot answer."""
    targets = scope.xml(handle).iterfind("devices/channel/target")
    if not any(t.get("name") == _CHANNEL and t.get("state") == "connected" for t in targets):
        return False
    state = scope.quietly(handle, "state")
    if state is None:
        return True
    keys = {"state.state": state[0], "state.reason": state[1]}
    return bool(state[0] == _RUNNING) and not is_arriving(keys)


class Asked:
    """The agents of one lane: what they lack, and whether they have their timeout back."""

    def __init__(self) -> None:
        self._kinds = _KINDS | _LOAD
        #: The UUIDs of guests whose agents may still have the timeout of this source.
        self._limited: set[str] = set()
        #: The UUIDs of guests whose agents lack a kind, each with the monotonic time until which it
        #: is not tried again.
        self._lacking: dict[str, float] = {}

    def connected(self, uuid: str) -> None:
        """An agent has connected: it may be another one."""
        self._lacking.pop(uuid, None)

    def forget_others(self, uuids: set[str]) -> None:
        """Drops guests that are not there any more."""
        self._limited &= uuids  # in one step: the thread of an abandoned call may add one
        self._lacking = {uuid: at for uuid, at in self._lacking.items() if uuid in uuids}

    def restore(self, scope: Scope, handle: Any) -> None:
        """Tries to give an agent its timeout back, if it may still have that of this source."""
        uuid = scope.uuid(handle)
        is_limited = uuid in self._limited and not scope.is_hung(handle)
        if is_limited and scope.set(handle, _LIMIT, _WAIT):
            self._limited.discard(uuid)

    def ask(self, scope: Scope, handle: Any) -> Optional[dict[str, Any]]:
        """The report of a guest's agent, within the timeout of the source; None if it fails."""
        # Half of the timeout: the agent first synchronizes, which may take as long as the answer.
        seconds = max(1, int(scope.timeout / 2))
        failed: list[bool] = [True]
        try:
            with scope.changed(handle, _LIMIT, seconds, _WAIT) as failed:
                return self._info(scope, handle)
        finally:
            if failed:
                self._limited.add(scope.uuid(handle))

    def _info(self, scope: Scope, handle: Any) -> Optional[dict[str, Any]]:
        uuid, now = scope.uuid(handle), time.monotonic()
        kinds = _ALL if self._lacking.get(uuid, 0.0) > now else self._kinds
        info: Optional[dict[str, Any]] = scope.call(handle, "guestInfo", kinds, 0)
        code = getattr(scope.error, "code", 0)
        if info is None and code == _UNKNOWN_KIND and kinds & _LOAD:
            self._kinds = kinds = _KINDS
            info = scope.call(handle, "guestInfo", kinds, 0)
            code = getattr(scope.error, "code", 0)
        if info is None and kinds and code not in _SILENT:
            info = scope.call(handle, "guestInfo", _ALL, 0)
            if info is not None:
                self._lacking[uuid] = now + _LACKS_SECONDS
        return info
