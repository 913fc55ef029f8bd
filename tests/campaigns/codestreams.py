"""Mutated codestreams of every transfer syntax, through the reading of a file and the decoder's process.

What may come of one is a picture, or Undecodable within the limits; everything else is a finding. Half of the
mutations go around the strict reading of markers, to see that the process of the codec holds whatever comes. Memory,
descriptors and temporary files are counted before and after.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import numpy as np
from pydicom import dcmread, uid
from pydicom.encaps import get_frame

from models.errors import Undecodable
from models.image import decode, pixels
from models.image.codestreams import jpeg
from models.image.codestreams.form import Form, Frame
from models.image.stored import Layout
from tests.campaigns.frame.fuzzed import Fuzzed, own_temporary_folder
from tests.support.data import frames
from tests.support.data.radiographs import write_in

SLOW_S = 45.0
"""Longest time that one mutated frame may take: its processor time and some waiting."""
MOST_GROWTH = {"descriptors": 0, "temporary files": 0, "children": 0, "MiB": 64, "warm MiB": 64}
"""Most by which each may have grown at the end; memory is that of this process and of the warm decoder."""


@dataclass(frozen=True)
class Original:
    """A sound frame of a small radiograph."""

    syntax: str
    bits: int
    allocated: int
    rows: int
    columns: int
    samples: int
    content: bytes


def originals(folder: Path) -> list[Original]:
    """Return frames of every syntax that the decoders take; those that only DCMTK writes where it is there."""
    found = []
    for syntax in decode.DECODERS:
        by_dcmtk = syntax in jpeg.KINDS or syntax == uid.RLELossless
        if syntax == uid.JPEGExtended12Bit or (by_dcmtk and which("dcmcjpeg") is None):
            continue
        path, array = write_in(folder / f"{syntax}.dcm", str(syntax))
        ds = dcmread(path)
        frame = get_frame(ds.PixelData, 0, number_of_frames=1)
        rows, columns = array.shape
        found.append(Original(syntax, int(ds.BitsStored), int(ds.BitsAllocated), rows, columns, 1, frame))
    chest = frames.picture(80, 64)
    colour = np.repeat((chest >> 4).astype(np.uint8)[..., None], 3, axis=2)
    found += [Original(syntax, 12, 16, 80, 64, 1, frames.codestream(chest, syntax)) for syntax in frames.LOSSLESS]
    found += [
        Original(syntax, 8, 8, 80, 64, 3, frames.codestream(colour, syntax, bits=8)) for syntax in frames.LOSSLESS
    ]
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        found.append(Original(syntax, 8, 8, 80, 64, 1, frames.jpeg(colour[..., 0])))
        found.append(Original(syntax, 8, 8, 80, 64, 3, frames.jpeg(colour)))
    return found


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a frame with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        content = rng.choice(MUTATIONS)(content, others, rng)
    return content


def _flip(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    """Change bytes, half of the time in the head."""
    data = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        data[rng.randrange(min(len(data), 120) if rng.random() < 0.5 else len(data))] = rng.randrange(256)
    return bytes(data)


def _extreme(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    """Write an extreme number over two or four bytes of the head."""
    at, width = rng.randrange(max(1, min(len(content), 120))), rng.choice((1, 2, 4))
    number = rng.choice((0, 1, 255, 2**15, 2**16 - 1, 30000, 2**31 - 1, 2**32 - 1)) % 256**width
    return content[:at] + number.to_bytes(width, "big") + content[at + width :]


def _cut(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _remove(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[at + rng.choice((1, 2, 16, 200)) :]


def _repeat(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    """Repeat a part, a few times or hundreds of times."""
    at = rng.randrange(len(content) + 1)
    part = content[at : at + rng.choice((2, 20, 300))]
    return content[:at] + part * rng.choice((2, 3, 400)) + content[at:]


def _marker(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    """Put a marker segment of any kind somewhere, or at the beginning."""
    at = rng.choice((2, rng.randrange(len(content) + 1)))
    size = rng.choice((0, 2, 4, 40, 300))
    segment = bytes([0xFF, rng.randrange(1, 255)]) + (size + 2).to_bytes(2, "big") + rng.randbytes(size)
    return content[:at] + segment + content[at:]


def _splice(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Go on as another frame does, of another syntax perhaps."""
    other = rng.choice(others)
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other)) :]


def _box(content: bytes, _others: list[bytes], rng: random.Random) -> bytes:
    return frames.boxed(content, (b"free", content[: rng.randrange(200)]))


MUTATIONS = (_flip, _flip, _extreme, _cut, _remove, _repeat, _marker, _splice, _box)


def run(folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Fuzzed:
    """Decode mutated frames, one as likely of each original; those that are findings stay in `keep`."""
    with own_temporary_folder(folder):
        begun = time.monotonic()
        found, dice = Fuzzed("codestreams", seed), random.Random(seed)
        sound = originals(folder)
        others = [one.content for one in sound]
        for one in sound:
            for straight in (False, True):
                if (outcome := _outcome(one, one.content, folder, straight=straight)) != "decoded":
                    found.findings.append(f"a sound frame of {uid.UID(one.syntax).name} was {outcome}")
        found.before = _measured()
        for number in range(count):
            one = dice.choice(sound)
            content, straight = mutated(one.content, others, dice), dice.random() < 0.5
            start, trouble = time.monotonic(), ""
            try:
                found.outcomes[_outcome(one, content, folder, straight=straight)] += 1
            except Exception as error:  # whatever else comes out is what is looked for
                trouble = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - start
            found.slowest_s = max(found.slowest_s, seconds)
            found.count += 1
            if trouble or seconds > SLOW_S:
                why = f"{uid.UID(one.syntax).name}: {trouble or f'{seconds:.0f} s'}"
                found.keep(number, content, why, keep)
        found.after = _measured()
        found.bound(MOST_GROWTH)
        found.seconds = time.monotonic() - begun
        return found


def _outcome(one: Original, content: bytes, folder: Path, *, straight: bool) -> str:
    """Decode a frame, as a file is read or straight by the codecs, and say what became of it."""
    try:
        if straight:
            form = Form(one.rows, one.columns, one.samples, one.bits if one.allocated > 8 else 8)
            decode.decoded(Frame(content or b"\0", form), _layout(one), uid.UID(one.syntax))
        else:
            shape = (one.rows, one.columns) if one.samples == 1 else (one.rows, one.columns, 3)
            ds = frames.radiograph(np.zeros(shape, f"u{one.allocated // 8}"), bits=one.bits)
            pixels.read(frames.write(folder / "mutated.dcm", frames.with_frame(ds, content or b"\0", one.syntax)))
    except Undecodable as error:
        said = str(error)
        if "not decoded within" in said or "killed" in said or "did not answer" in said:
            return "out of time or killed"
        return "died" if "the decoder ended" in said or "was stopped" in said else "refused"
    return "decoded"


def _layout(one: Original) -> Layout:
    photometric = "MONOCHROME2" if one.samples == 1 else "RGB"
    return Layout(one.rows, one.columns, one.samples, photometric, one.allocated, one.bits, one.bits - 1, False, False)


def _measured() -> dict[str, float]:
    """Measure this process and its warm decoder."""
    warm = decode.DECODER.pid
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "temporary files": len(list(Path(tempfile.gettempdir()).iterdir())),
        "children": sum(1 for _ in _children()),
        "MiB": _resident_mib(os.getpid()),
        "warm MiB": 0.0 if warm is None else _resident_mib(warm),
    }


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        yield from (task / "children").read_text().split()


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
