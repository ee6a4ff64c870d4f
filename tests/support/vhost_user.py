"""The far end of a vhost-user interface: as much of a switch as QEMU needs to start.

The rule: its thread and its socket end with the `with` block.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from pathlib import Path

from support.process import Closing

_HEADER = struct.Struct("<III")  # request, flags, size
_GET_FEATURES, _REPLY = 1, 5
_VIRTIO_1 = 1 << 32


class VhostUser(Closing):
    """Listens on a UNIX socket that every user may reach, and serves one guest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sockets = [socket.socket(socket.AF_UNIX)]
        self._sockets[0].bind(os.fspath(path))
        path.chmod(0o777)
        self._sockets[0].listen()
        self._thread = threading.Thread(target=self._serve, name="vhost-user")
        self._thread.start()

    def close(self) -> None:
        """Hang up, and remove the socket; may be called again."""
        for each in self._sockets:
            with contextlib.suppress(OSError):  # the guest has hung up
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in self._sockets:
            each.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # close() ends both calls
            guest, _ = self._sockets[0].accept()
            self._sockets.append(guest)
            while header := guest.recv(_HEADER.size):
                request, _, size = _HEADER.unpack(header)
                guest.recv(size)
                if request == _GET_FEATURES:
                    features = struct.pack("<Q", _VIRTIO_1)
                    guest.sendall(_HEADER.pack(request, _REPLY, len(features)) + features)
