"""The warm process: it has the codecs imported, and forks a child for each frame.

So each frame has a clean process with limits of its own, and pays neither for a start nor for the fork: the next child
waits for its frame already. Nothing that a codec does (abort, write where it should not, never end, ask for all memory)
reaches further than that one child, and the warm process itself never decodes. It has one thread, ends with its parent,
and takes no signal that a terminal or a service manager sends to all: its parent decides.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import mmap
import os
import resource
import select
import signal
import socket
import warnings
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import AllTransferSyntaxes

from models.image.decoder.request import MESSAGE_BYTES, FrameAnswer, FrameRequest, Outcome

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> None:
    """Serve one client, from its socket, until that or the client ends."""
    _end_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    _import_codecs()
    gc.collect()
    gc.freeze()  # else a collection in each child would copy all of this process's memory
    with socket.socket(fileno=descriptor) as client:
        client.send(b"ready")
        while True:
            with _Child(client) as child:
                message, files, _, _ = socket.recv_fds(client, MESSAGE_BYTES, 2)
                try:
                    if not message:
                        return
                    answer = child.decode(message, files)
                finally:
                    for file in files:
                        os.close(file)
                client.send(answer.encoded())


class _Child:
    """A forked process that decodes one frame. Leaving the context ends it, and waits for its end."""

    def __init__(self, client: socket.socket) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        warm, memory = os.getpid(), _address_space()
        self._pid = os.fork()
        if self._pid == 0:
            client.close()
            self._socket.close()
            _decode_one(theirs, warm, memory)
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)  # it has spoken, or was never asked
            self._end()

    def decode(self, message: bytes, files: list[int]) -> FrameAnswer:
        """Hand over a frame, and say what became of it."""
        request = FrameRequest(**json.loads(message))
        socket.send_fds(self._socket, [message], files)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(request.wall_s * 1000):
            return FrameAnswer(Outcome.LOST, f"not decoded within {request.wall_s} s")
        word = self._socket.recv(MESSAGE_BYTES)
        return FrameAnswer.of(word) if word else _of_end(self._end(), request)

    def _end(self) -> int:
        """Wait for the end; return the exit code, or the signal below zero."""
        pid, self._pid = self._pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _of_end(code: int, request: FrameRequest) -> FrameAnswer:
    """Say why a child ended without a word."""
    if code == -signal.SIGKILL:
        return FrameAnswer(Outcome.LOST, "the decoder was killed from outside, perhaps for want of memory")
    if code == -signal.SIGXCPU:
        return FrameAnswer(Outcome.DIED, f"the decoder was stopped after computing for {request.cpu_s} s")
    try:
        return FrameAnswer(Outcome.DIED, f"the decoder ended by {signal.Signals(-code).name}")
    except ValueError:
        return FrameAnswer(Outcome.DIED, f"the decoder ended with exit status {code}")


def _import_codecs() -> None:
    """Import what a child would otherwise import for each frame: pydicom's plugins, and the formats of Pillow."""
    for syntax in AllTransferSyntaxes:
        with contextlib.suppress(NotImplementedError):  # a syntax without pixels, or without a codec
            get_decoder(syntax)
    Image.preinit()


def _decode_one(warm: socket.socket, parent: int, memory: int) -> NoReturn:
    """Wait for a frame, decode it within its limits, and end without tidying up what belongs to the warm process."""
    try:
        _end_with(parent)
        message, files, _, _ = socket.recv_fds(warm, MESSAGE_BYTES, 2)
        if message:
            request = FrameRequest(**json.loads(message))
            _limit(request, memory)
            warm.send(_answer(request, *files).encoded())
    finally:
        os._exit(0)


def _answer(request: FrameRequest, frame: int, picture: int) -> FrameAnswer:
    try:
        _decode(request, frame, picture)
    except MemoryError:
        return FrameAnswer(Outcome.REFUSED, f"decoding needs more than {request.memory_bytes >> 20} MiB")
    # A panic of a codec in Rust is a BaseException, and what others raise is up to their C libraries.
    except BaseException as error:
        said = (str(error).splitlines() or [""])[-1]  # pydicom puts the codec's own words last
        return FrameAnswer(Outcome.REFUSED, f"{type(error).__name__}: {said.strip()[:160]}")
    return FrameAnswer(Outcome.DECODED)


def _address_space() -> int:
    """Return the bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()


def _limit(request: FrameRequest, memory: int) -> None:
    """Limit memory, computing and files."""
    memory += request.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (request.cpu_s, request.cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _decode(request: FrameRequest, frame: int, picture: int) -> None:
    """Decode with the codec that was asked for, into the picture."""
    with mmap.mmap(frame, 0, access=mmap.ACCESS_READ) as content:
        encapsulated = encapsulate([content[:]])
    decoder = get_decoder(request.syntax)
    if request.plugin not in decoder.available_plugins:
        raise RuntimeError("is not installed")
    array, _ = decoder.as_array(encapsulated, index=0, decoding_plugin=request.plugin, **_options(request))
    if array.shape != request.shape or 8 * array.dtype.itemsize != request.bits_allocated:
        raise ValueError(f"decoded to {array.shape} of {array.dtype}, {request.shape} was expected")
    with mmap.mmap(picture, request.picture_bytes, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE) as target:
        np.copyto(np.frombuffer(target, array.dtype).reshape(array.shape), array)


def _options(request: FrameRequest) -> dict[str, Any]:
    """Describe the frame to pydicom, in place of a header."""
    return {
        "rows": request.rows,
        "columns": request.columns,
        "number_of_frames": 1,
        "samples_per_pixel": request.samples,
        "bits_allocated": request.bits_allocated,
        "bits_stored": request.bits_stored,
        "pixel_representation": int(request.signed),
        "photometric_interpretation": request.photometric,
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
        "correct_unused_bits": False,
    }


def _end_with(parent: int) -> None:
    """Ask Linux for SIGKILL when the parent ends, and see that it has not ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
