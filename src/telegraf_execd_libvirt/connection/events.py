"""libvirt's event loop, in a separate thread: keepalive and events need it.

Invariant: a process has one loop, registered before the first connection is opened; it never ends.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import libvirt

from ..log import log

#: The pause after each turn of the loop. Without pauses, each request wakes the loop twice, which
#: costs as much CPU time as the request itself.
_PAUSE_SECONDS = 0.02

_lock = threading.Lock()
_running = False


def start() -> None:
    """Starts the loop, if it does not run."""
    global _running
    with _lock:
        if not _running:
            _running = True
            libvirt.registerErrorHandler(_log_error, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run, name="libvirt events", daemon=True).start()


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
            time.sleep(_PAUSE_SECONDS)
        except libvirt.libvirtError as error:
            log.debug("libvirt's event loop: %s", error)
            time.sleep(1)  # a lasting failure must not spin


def _log_error(_: object, error: tuple[Any, ...]) -> None:
    """Keeps libvirt's errors off stderr; the ones that matter are raised as well."""
    log.debug("libvirt: code %s, domain %s: %s", error[0], error[1], error[2])
