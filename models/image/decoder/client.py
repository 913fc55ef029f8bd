"""The side that wants pixels: one warm decoder for each process, started when first needed and replaced when lost."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.image.decoder.request import MESSAGE_BYTES, FrameAnswer, FrameRequest, Outcome

START_S = 60.0
"""Until a new process has imported its codecs; under a second where nothing else runs."""
GRACE_S = 10.0
"""After a frame's own limit, until the warm process is taken for hung."""
ATTEMPTS = 2
"""At a frame whose process was lost: once more, since nothing says that the frame was the cause."""

# Isolated: neither the environment, which holds passwords, nor the current folder decides what this process imports.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from models.image.decoder.server import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
# Threads of the linear algebra library would cost address space, and a fork wants a process of one thread. Large pages
# spare a fresh child thousands of page faults: 15 ms instead of 25 beside the decoding of 3 million pixels.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


@dataclass
class _Server:
    """A running warm process."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    ready: bool = False

    def close(self) -> None:
        """Kill it with whatever it has forked, and leave neither zombie nor descriptor."""
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class FrameDecoder:
    """The warm decoder of this process. Threads take turns; a process that was forked from this one starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._owner = os.getpid()

    @property
    def pid(self) -> int | None:
        """Process id of the warm process; None: there is none."""
        return self._server.process.pid if self._server else None

    def start(self) -> None:
        """Start the warm process without waiting for it, so that the first frame finds it ready.

        Raises
        ------
        OSError
            It cannot be started.
        """
        with self._turn():
            self._running()

    def close(self) -> None:
        """End the warm process; the next frame starts another."""
        with self._turn():
            self._replace()

    def decode(self, request: FrameRequest, frame: bytes) -> tuple[FrameAnswer, NDArray[Any] | None]:
        """Decode a frame; the picture is None where the answer is another than decoded.

        Raises
        ------
        OSError
            The machine gives no memory, descriptor or process: nothing is known of the frame.
        """
        with self._turn():
            source = os.memfd_create("frame")
            try:
                _fill(source, frame)
                for attempt in range(1, ATTEMPTS + 1):
                    answer, picture = self._attempt(request, source)
                    if answer.outcome is not Outcome.LOST or attempt == ATTEMPTS:
                        break
            finally:
                os.close(source)
        return answer, picture

    def _attempt(self, request: FrameRequest, source: int) -> tuple[FrameAnswer, NDArray[Any] | None]:
        target = os.memfd_create("picture")
        try:
            os.ftruncate(target, request.picture_bytes)
            answer = self._ask(request, [source, target])
            if answer.outcome is not Outcome.DECODED:
                return answer, None
            return answer, _picture(target, request)
        finally:
            os.close(target)

    def _ask(self, request: FrameRequest, files: list[int]) -> FrameAnswer:
        """Exchange one message; a warm process that is gone or hangs is replaced with the next one."""
        server = self._running()
        self._wait_until_ready(server)
        try:
            socket.send_fds(server.connection, [request.encoded()], files)
            message = _received(server.connection, request.wall_s + GRACE_S)
        except (BrokenPipeError, ConnectionResetError):
            message = b""
        if not message:
            self._replace()
            return FrameAnswer(Outcome.LOST, "the decoder's process ended or did not answer")
        return FrameAnswer.of(message)

    def _running(self) -> _Server:
        if self._server is None:
            self._server = _started()
            atexit.unregister(self.close)
            atexit.register(self.close)
        return self._server

    def _wait_until_ready(self, server: _Server) -> None:
        if server.ready:
            return
        if not _received(server.connection, START_S):
            self._replace()
            raise OSError("the decoder's process does not start")
        server.ready = True

    def _replace(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock, in the process that owns the decoder."""
        if self._owner != os.getpid():
            self._forget()
        with self._lock:
            yield

    def _forget(self) -> None:
        """Leave the warm process to the process that was forked: only our copy of the connection is closed."""
        if self._server is not None:
            self._server.connection.close()
            self._server.process.returncode = 0  # not our child: nothing to wait for, nothing to warn of
        self._server, self._lock, self._owner = None, threading.Lock(), os.getpid()


def _started() -> _Server:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path)]
        process = subprocess.Popen(
            command,
            env=_ENVIRONMENT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Server(process, ours)


def _received(connection: socket.socket, timeout_s: float) -> bytes:
    """Wait for one message; empty where the other side has ended or does not speak in time."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(timeout_s * 1000):
        return b""
    try:
        return connection.recv(MESSAGE_BYTES)
    except ConnectionResetError:
        return b""


def _fill(file: int, content: bytes) -> None:
    """Write all of a frame."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _picture(file: int, request: FrameRequest) -> NDArray[Any]:
    """Read the picture. Not as a mapping, which would keep a descriptor for as long as the array lives."""
    picture = np.empty(request.shape, np.dtype(f"{'i' if request.signed else 'u'}{request.bits_allocated // 8}"))
    left, at = picture.reshape(-1).view(np.uint8).data, 0
    while at < len(left):
        count = os.preadv(file, [left[at:]], at)
        if count == 0:
            raise OSError(f"the picture has {at} bytes, {len(left)} were expected")
        at += count
    return picture
