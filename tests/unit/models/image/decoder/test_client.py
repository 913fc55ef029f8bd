"""Compressed frames are decoded by a process of their own: whatever a codec does there, the caller gets an answer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from models.image.decoder import client
from models.image.decoder.client import FrameDecoder
from models.image.decoder.request import FrameRequest, Outcome
from tests.support.data import frames
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

PIXELS = frames.picture()
JPEG_2000 = frames.codestream(PIXELS, uid.JPEG2000Lossless)
SOUND = FrameRequest(
    syntax=uid.JPEG2000Lossless,
    plugin="gdcm",
    rows=PIXELS.shape[0],
    columns=PIXELS.shape[1],
    samples=1,
    bits_allocated=16,
    bits_stored=12,
    signed=False,
    photometric="MONOCHROME2",
    memory_bytes=256 << 20,
    cpu_s=10,
    wall_s=20,
)


@pytest.fixture
def decoder() -> Iterator[FrameDecoder]:
    made = FrameDecoder()
    yield made
    made.close()


def children(pid: int) -> list[int]:
    """Return the processes that a process has forked."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_picture_comes_back_as_it_was(decoder: FrameDecoder) -> None:
    answer, picture = decoder.decode(SOUND, JPEG_2000)
    assert (answer.outcome, answer.why) == (Outcome.DECODED, "")
    assert picture is not None
    np.testing.assert_array_equal(picture, PIXELS)
    assert picture.dtype == np.uint16


def test_a_codec_that_aborts_ends_its_own_process_only(decoder: FrameDecoder) -> None:
    three = frames.codestream(np.repeat((PIXELS >> 4).astype(np.uint8)[..., None], 3, axis=2), SOUND.syntax, bits=8)
    request = replace(SOUND, bits_allocated=8, bits_stored=8)  # one component is announced, three are there
    answer, picture = decoder.decode(request, three)
    assert (answer.outcome, picture) == (Outcome.DIED, None)
    assert "SIG" in answer.why
    warm = decoder.pid
    assert decoder.decode(SOUND, JPEG_2000)[0].outcome is Outcome.DECODED
    assert decoder.pid == warm


def test_a_panic_in_rust_is_a_refusal(decoder: FrameDecoder) -> None:
    rle = frames.codestream(PIXELS, uid.RLELossless)
    answer, _ = decoder.decode(replace(SOUND, syntax=uid.RLELossless, plugin="pylibjpeg"), rle[:-1500])
    assert answer.outcome is Outcome.REFUSED
    assert answer.why


def test_a_codec_that_is_not_installed_is_named(decoder: FrameDecoder) -> None:
    answer, _ = decoder.decode(replace(SOUND, plugin="pyjpegls"), JPEG_2000)
    assert answer == replace(answer, outcome=Outcome.REFUSED)
    assert "not installed" in answer.why


def test_a_codec_gets_no_more_memory_than_its_limit(decoder: FrameDecoder) -> None:
    zeros = np.zeros((6000, 6000), np.uint16)
    frame = frames.codestream(zeros, uid.RLELossless)
    request = replace(SOUND, syntax=uid.RLELossless, plugin="pylibjpeg", rows=6000, columns=6000, memory_bytes=32 << 20)
    answer, _ = decoder.decode(request, frame)
    assert answer.outcome in (Outcome.REFUSED, Outcome.DIED)
    roomy = replace(request, memory_bytes=1 << 30)
    assert decoder.decode(roomy, frame)[0].outcome is Outcome.DECODED


def test_a_codec_that_computes_for_ever_is_stopped(decoder: FrameDecoder) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (3000, 3000)).astype(np.uint16)
    frame = frames.codestream(noise, uid.RLELossless)
    pure_python = replace(SOUND, syntax=uid.RLELossless, plugin="pydicom", rows=3000, columns=3000, cpu_s=1, wall_s=120)
    while True:  # until the machine is slow enough for one second
        answer, _ = decoder.decode(pure_python, frame)
        if answer.outcome is not Outcome.DECODED:
            break
        pure_python = replace(pure_python, cpu_s=0)
    assert answer.outcome is Outcome.DIED
    assert "after computing for" in answer.why


def test_a_process_that_is_killed_from_outside_gets_one_more_try(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    assert decoder.pid is not None
    first = decoder.pid
    os.kill(first, signal.SIGKILL)
    answer, _ = decoder.decode(SOUND, JPEG_2000)
    assert answer.outcome is Outcome.DECODED
    assert decoder.pid != first
    assert not Path(f"/proc/{first}").exists(), "it was waited for"


def test_a_child_that_is_killed_before_its_frame_costs_one_try(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    assert decoder.pid is not None
    wait_for(lambda: len(children(decoder.pid)) == 1)
    os.kill(children(decoder.pid)[0], signal.SIGKILL)
    assert decoder.decode(SOUND, JPEG_2000)[0].outcome is Outcome.DECODED


def test_a_process_that_hangs_is_replaced(decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GRACE_S", 0.5)
    decoder.decode(SOUND, JPEG_2000)
    assert decoder.pid is not None
    hung = decoder.pid
    os.kill(hung, signal.SIGSTOP)
    answer, _ = decoder.decode(replace(SOUND, wall_s=2), JPEG_2000)
    assert answer.outcome is Outcome.DECODED
    assert decoder.pid != hung
    assert not Path(f"/proc/{hung}").exists()


def test_a_child_that_hangs_is_lost_after_two_tries(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    stop = threading.Event()

    def stopping() -> None:
        while not stop.wait(0.001):
            with contextlib.suppress(OSError):
                for child in children(decoder.pid or 0):
                    os.kill(child, signal.SIGSTOP)

    thread = threading.Thread(target=stopping)
    thread.start()
    try:
        answer, _ = decoder.decode(replace(SOUND, wall_s=1), JPEG_2000)
    finally:
        stop.set()
        thread.join()
    assert answer.outcome is Outcome.LOST
    assert "not decoded within 1 s" in answer.why
    assert decoder.decode(SOUND, JPEG_2000)[0].outcome is Outcome.DECODED


def test_nothing_is_left_behind(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    assert decoder.pid is not None
    before, open_there = descriptors(), len(list(Path(f"/proc/{decoder.pid}/fd").iterdir()))
    pictures = [decoder.decode(SOUND, JPEG_2000)[1] for _ in range(20)]
    assert decoder.decode(SOUND, b"\xff\x4f\xff\x51" + bytes(40))[0].outcome is Outcome.REFUSED
    assert descriptors() == before
    wait_for(lambda: len(children(decoder.pid)) == 1)
    assert len(list(Path(f"/proc/{decoder.pid}/fd").iterdir())) <= open_there + 1
    assert all(np.array_equal(picture, PIXELS) for picture in pictures if picture is not None)
    warm, (spare,) = decoder.pid, children(decoder.pid)
    decoder.close()
    assert not Path(f"/proc/{warm}").exists()
    wait_for(lambda: not Path(f"/proc/{spare}").exists())
    assert descriptors() == before - 1


def test_a_process_that_was_forked_has_a_decoder_of_its_own(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    warm = decoder.pid
    child = os.fork()
    if child == 0:
        outcome = decoder.decode(SOUND, JPEG_2000)[0].outcome
        own = decoder.pid
        decoder.close()
        os._exit(0 if outcome is Outcome.DECODED and own != warm else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert decoder.decode(SOUND, JPEG_2000)[0].outcome is Outcome.DECODED
    assert decoder.pid == warm


def test_it_ends_with_its_parent_even_by_kill_9() -> None:
    code = (
        "import sys, time; from models.image.decode import DECODER; DECODER.start(); "
        "print(DECODER.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        warm = int(parent.stdout.readline())
        wait_for(lambda: Path(f"/proc/{warm}/task/{warm}/children").read_text() != "", timeout_s=30)
        spare = children(warm)[0]
        parent.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}/fd/0").exists() for pid in (warm, spare)))


def test_a_sound_frame_pays_little(decoder: FrameDecoder) -> None:
    decoder.decode(SOUND, JPEG_2000)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        decoder.decode(SOUND, JPEG_2000)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1, "3 to 6 ms where nothing else runs"
