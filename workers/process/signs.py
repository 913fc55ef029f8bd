"""Signs of life of the processes that a supervisor started, and of those that they started (`node.watchdog`)."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import uuid

import psutil

_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of whoever sent (unix(7)): the kernel fills it in, so that nobody can speak for another."""


class Signs:
    """Listens for signs of life."""

    def __init__(self) -> None:
        self.address = f"@hilum-{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{self.address[1:]}")
        self._last: dict[int, float] = {}

    def read(self) -> None:
        """Take in what has come."""
        with contextlib.suppress(BlockingIOError):
            while True:
                _, extra, _, _ = self._socket.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
                for _level, kind, content in extra:
                    if kind == socket.SCM_CREDENTIALS:
                        self._last[_CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]] = time.monotonic()

    def silent(self, for_s: float) -> dict[int, float]:
        """Return the living that have given signs, but none for `for_s` seconds, and for how long."""
        now = time.monotonic()
        late = {pid: now - at for pid, at in self._last.items() if now - at > for_s}
        for pid in [pid for pid in late if not psutil.pid_exists(pid)]:
            del self._last[pid], late[pid]
        return late

    def forget(self, pid: int) -> None:
        """Expect no more signs of a process."""
        self._last.pop(pid, None)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
