"""Signs of life for a supervisor, as sd_notify(3) has them: `hilum up`, or systemd with `WatchdogSec=`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final

INTERVAL_S: Final = 1.0
_SIGN: Final = b"WATCHDOG=1"


class Watchdog:
    """Gives signs of life to whoever listens at an address.

    Parameters
    ----------
    address
        Path of a datagram socket, `@name` in the abstract namespace (`node.settings.notify_socket`); None: nobody
        listens.
    """

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if address else None
        self._next_at = 0.0

    def beat(self) -> None:
        """Give a sign, if the last was not just now; a supervisor that is gone or slow is no trouble.

        The kernel keeps but a few signs for a supervisor to read: who gave more would drown those of others.
        """
        if self._socket is None or self._address is None:
            return
        if (now := time.monotonic()) >= self._next_at:
            self._next_at = now + INTERVAL_S
            with contextlib.suppress(OSError):
                self._socket.sendto(_SIGN, self._address)

    def start(self) -> None:
        """Give a sign each second from a thread: for a process that has no loop of its own to give them."""
        if self._socket is not None:
            threading.Thread(target=self._go_on, name="watchdog", daemon=True).start()

    def _go_on(self) -> None:
        pause = threading.Event()
        while True:
            self.beat()
            pause.wait(INTERVAL_S / 2)
