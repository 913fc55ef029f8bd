"""One TCP or TLS connection as a stream of bytes: read ahead into one buffer, each wait bounded, never polled.

A read returns a view of the buffer where it can, so that pixel data goes from the socket to the file with one copy in
this process. Without TLS, timeouts are those of the socket itself (SO_RCVTIMEO, SO_SNDTIMEO): Python's own cost another
system call for each read.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from typing import Final

from node.errors import HilumError

MINIMUM_BYTES_PER_SECOND: Final = 16384
"""A message may take its timeout plus the time that its bytes take at this rate; slower senders are dropped."""


class ConnectionLost(HilumError):
    """The peer closed or reset the connection."""


class TooSlow(HilumError):
    """The peer was silent, or slower than a working sender is."""


class Stopping(HilumError):
    """The node is going down."""


def wait_readable(connection: socket.socket, wake: int, timeout_s: float) -> None:
    """Wait until a connection has bytes to read or was closed.

    Raises
    ------
    TooSlow
        Neither happened within `timeout_s`.
    Stopping
        `wake` became readable: the node is going down.
    """
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(wake, select.POLLIN)
    ready = [descriptor for descriptor, _ in poll.poll(timeout_s * 1000)]
    if wake in ready:
        raise Stopping("the receiver is going down")
    if not ready:
        raise TooSlow(f"nothing received for {timeout_s:g} s")


class Stream:
    """The read and write side of one connection, used by one thread.

    Parameters
    ----------
    connection
        Connected and, with TLS, past its handshake; closed by whoever made it.
    silence_s
        Longest wait for any byte, and for the peer to take ours.
    wake
        Readable when the node goes down; `wait` then raises.
    buffer_bytes
        How much is read ahead.
    """

    def __init__(self, connection: socket.socket, *, silence_s: float, wake: int, buffer_bytes: int = 1 << 18) -> None:
        self._connection = connection
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._wake = wake
        self._budget_s = silence_s
        self._begun, self._received = time.monotonic(), 0
        self._deadline: float | None = None
        _set_timeout(connection, silence_s)

    def set_silence(self, silence_s: float) -> None:
        """Change the longest wait for any byte; there is no deadline any more."""
        self._deadline = None
        _set_timeout(self._connection, silence_s)

    def set_deadline(self, deadline: float) -> None:
        """Let all that is read until `set_silence` come before `deadline` on the monotonic clock, however it flows."""
        self._deadline = deadline

    def wait(self, timeout_s: float) -> None:
        """Wait for the next message's first byte.

        Raises
        ------
        TooSlow
            None came within `timeout_s`.
        Stopping
            The node is going down.
        """
        if self._start < self._end or (isinstance(self._connection, ssl.SSLSocket) and self._connection.pending()):
            return
        wait_readable(self._connection, self._wake, timeout_s)

    def begin(self, budget_s: float) -> None:
        """Start the clock of one message: it may take `budget_s`, and more only while it flows."""
        self._budget_s = budget_s
        self._begun, self._received = time.monotonic(), self._end - self._start

    def read(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        if self._end - self._start >= count:
            self._start += count
            return bytes(self._view[self._start - count : self._start])
        parts, missing = [], count
        while missing:
            part = self.chunk(missing)
            parts.append(bytes(part))
            missing -= len(part)
        return b"".join(parts)

    def chunk(self, limit: int) -> memoryview:
        """Read 1 to `limit` bytes, as many as are there; the view holds until the next read."""
        if self._start == self._end:
            self._fill()
        taken = min(limit, self._end - self._start)
        self._start += taken
        return self._view[self._start - taken : self._start]

    def send(self, content: bytes) -> None:
        """Send all of `content`."""
        try:
            self._connection.sendall(content)
        except (BlockingIOError, TimeoutError) as error:
            raise TooSlow("the peer takes no data") from error
        except OSError as error:
            raise ConnectionLost(f"connection lost while sending: {type(error).__name__}") from error

    def finish(self, linger_s: float) -> None:
        """Close our direction and wait, for at most `linger_s`, until the peer has closed its own.

        Closing at once would reset the connection where the peer has sent more, and so destroy our last PDU (ARTIM,
        PS3.8 section 9.1.5).
        """
        deadline = time.monotonic() + linger_s
        with contextlib.suppress(OSError, ValueError):
            self._connection.shutdown(socket.SHUT_WR)
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            poll.register(self._wake, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                ready = [descriptor for descriptor, _ in poll.poll(left * 1000)]
                if not ready or self._wake in ready or not self._connection.recv_into(self._buffer):
                    return

    def _fill(self) -> None:
        """Read ahead into the empty buffer."""
        if self._deadline is not None:
            _set_timeout(self._connection, left_until(self._deadline))
        elif time.monotonic() - self._begun > self._budget_s + self._received / MINIMUM_BYTES_PER_SECOND:
            raise TooSlow(f"a message of {self._received} bytes so far took too long")
        try:
            count = self._connection.recv_into(self._buffer)
        except (BlockingIOError, TimeoutError) as error:
            raise TooSlow("the peer fell silent in the middle of a message") from error
        except OSError as error:
            raise ConnectionLost(f"connection lost: {type(error).__name__}") from error
        if count == 0:
            raise ConnectionLost("the peer closed the connection")
        self._start, self._end = 0, count
        self._received += count


def left_until(deadline: float) -> float:
    """Return the seconds that are left; never zero, which would be no limit for a socket.

    Raises
    ------
    TooSlow
        None are left.
    """
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TooSlow("no association request within the time for it")
    return max(left_s, 0.001)


def _set_timeout(connection: socket.socket, timeout_s: float) -> None:
    """Bound each wait of a connection."""
    if isinstance(connection, ssl.SSLSocket):  # would repeat a read that ran into SO_RCVTIMEO for ever
        connection.settimeout(timeout_s)
        return
    connection.setblocking(True)
    timeout = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, timeout)
