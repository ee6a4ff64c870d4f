"""A TCP relay: it counts connections, cuts them, and plays peers that hang up.

The rule: its threads and sockets end with its `with` block.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from support.process import Closing


class Relay(Closing):
    """Listens on `port` of loopback and connects to `target`, a port of loopback.

    If `hanging_up`, a connection is closed at once. `connections` counts all of them.
    """

    def __init__(self, target: int = 0, *, hanging_up: bool = False) -> None:
        self.target = target
        self.hanging_up = hanging_up
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="relay")]
        self._threads[0].start()

    def cut(self) -> int:
        """Cut all connections; return their number."""
        with self._lock:
            cut, self._open = self._open, set()
        for end in cut:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def close(self) -> None:
        """Cut all connections and listen no more; may be called again."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.hanging_up:
                client.close()
            else:
                thread = threading.Thread(target=self._serve, args=(client,), name="relayed")
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with server:
                with self._lock:
                    self._open |= {client, server}
                back = threading.Thread(target=_copy, args=(server, client), name="back")
                back.start()
                _copy(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
