"""Mutated objects: through intake's reading, then through the whole pipeline to the bytes of the answer.

What may come of an object is a verdict or Quarantined, and of a study an SR at least; everything else is a finding.
Memory, descriptors and temporary files are counted before and after. Object NUMBER of a seed follows from both.
"""

from __future__ import annotations

import random
import struct
import tempfile
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

from models import phantom
from node.clock import utc_now
from node.commands.explain import explain
from node.delivery.profiles import OHIF
from node.dicom.elements import UNDEFINED, Walker
from node.dicom.kinds import ResultKind
from node.dicom.part10 import identity_digest, read_meta
from node.errors import Quarantined
from node.intake.eligibility import judge
from node.intake.reading import examine_header
from node.pipelines import installed, named
from node.reasons import Reason
from node.settings import AnalysisSettings, Settings
from tests.campaigns.frame.fuzzed import Fuzzed, own_temporary_folder
from tests.support.data import tiny_bundles
from tests.support.data.elements import element, item
from tests.support.data.radiographs import CR, SC, compressed, radiograph, smooth, write
from tests.support.data.sources import STUDY, source
from workers.pipelines import run as pipeline_run
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.networks import Networks
from workers.pipelines.study import Study, read_image

MAXIMUM_BYTES = 64 << 20
PATIENT = "PLANTED-ID"
"""Of the originals; a good image is of the same one, or nothing would be analysed."""
SLOW_S = 5.0
"""Longest processor time that one mutated object may take; the first loads the networks."""
SAY_EVERY = 5000
MOST_GROWTH = {"MiB": 200, "descriptors": 0, "files": 0, "temporary files": 0}
"""Most by which each may have grown from the first objects to the last."""

WORDS = (b"", b" ", b"\\", b"none", b"\xff" * 8, b"\x1b$)A", b"19700230", b"999Y", b"1.2.3\\4", b"9" * 400, bytes(3))
TAGS = (0x00080005, 0x00080018, 0x00100010, 0x00100020, 0x00101010, 0x00180015, 0x00280010, 0x00280004, 0x00400275)
VRS = (b"US", b"SQ", b"LO", b"PN", b"UN", b"DS", b"IS", b"AT", b"OB", b"??", b"UI", b"CS")
EMPTY_ITEM = item()


def originals(folder: Path) -> list[bytes]:
    """Return whole objects of every kind that mutations begin with."""
    grey = smooth(288, 256)
    ds = [
        radiograph(grey, StudyInstanceUID=STUDY),
        radiograph(
            grey,
            sop_class=CR,
            StudyInstanceUID=STUDY,
            PatientAge="062Y",
            SpecificCharacterSet="ISO_IR 100",
            PatientName="Müller^J",
        ),
        radiograph((grey // 64).astype("uint8"), sop_class=SC, Modality="CR", StudyInstanceUID=STUDY),
        compressed(radiograph(StudyInstanceUID=STUDY), "1.2.840.10008.1.2.4.90"),
    ]
    implicit = radiograph(grey, StudyInstanceUID=STUDY)
    implicit.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    paths = [write(folder / f"{number}.dcm", one) for number, one in enumerate((*ds, implicit))]
    paths.append(source(folder, rows=300, columns=280))
    return [path.read_bytes() for path in paths]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return an object with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        content = rng.choice(MUTATIONS)(content, rng)
    return content


def _parts(content: bytes) -> tuple[int, list[tuple[int, bytes, bytes]]]:
    """Split an object: where the data set begins, and of each element before the first bad one tag, head and value."""
    start = read_meta(BytesIO(content)).dataset_offset
    explicit, parts = content[start + 4 : start + 6].isalpha(), []
    end = start
    try:
        for one in Walker(content, explicit=explicit).elements(start, len(content)):
            parts.append((one.tag, content[end : one.start], content[one.start : one.end]))
            end = one.end
    except Quarantined:
        pass
    return start, [*parts, (UNDEFINED, b"", content[end:])]


def _changed(change: Callable[[list[tuple[int, bytes, bytes]], int, random.Random], None]) -> Mutation:
    """Make a mutation of one that changes the list of elements at a place."""

    def mutation(content: bytes, rng: random.Random) -> bytes:
        try:
            start, parts = _parts(content)
        except Quarantined:
            return _flip(content, rng)
        if len(parts) > 1:
            change(parts, rng.randrange(len(parts) - 1), rng)
        return content[:start] + b"".join(head + value for _, head, value in parts)

    return mutation


def _flip(content: bytes, rng: random.Random) -> bytes:
    """Change one byte, mostly in the header."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(128, min(len(data), 2000) if rng.random() < 0.9 else len(data))] = rng.randrange(256)
    return bytes(data)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(132, len(content))]


def _drop(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    del parts[at]


def _double(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    parts.insert(rng.randrange(len(parts)), parts[at])


def _swap(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    other = rng.randrange(len(parts) - 1)
    parts[at], parts[other] = parts[other], parts[at]


def _length(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    tag, head, value = parts[at]
    length = rng.choice((0, 1, 0xFFFF, UNDEFINED, rng.randrange(1 << 16), len(value) + 1))
    size = 2 if len(head) == 8 and head[4:6].isalpha() else 4
    parts[at] = (tag, head[:-size] + (length & (1 << 8 * size) - 1).to_bytes(size, "little"), value)


def _vr(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    tag, head, value = parts[at]
    parts[at] = (tag, head[:4] + rng.choice(VRS) + head[6:], value)


def _value(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    tag, head, _ = parts[at]
    new = element(tag, b"LO", rng.choice(WORDS))
    form = head[:4] + (head[4:6] if head[4:6].isalpha() else b"LO") + new[6:8]
    parts[at] = (tag, form if len(head) == 8 else head[:-4] + struct.pack("<L", len(new) - 8), new[8:])


def _insert(parts: list[tuple[int, bytes, bytes]], at: int, rng: random.Random) -> None:
    """Put in an element: a text, a sequence of nonsense, one of many items, one nested deeply."""
    tag, vr = rng.choice((*TAGS, rng.randrange(1 << 31))), rng.choice(VRS[:-1])
    inner = rng.choice((*WORDS, EMPTY_ITEM * rng.choice((1, 100, 3000)), item(rng.randbytes(20))))
    for _ in range(rng.choice((0, 0, 0, 3, 40))):
        inner = item(element(0x00400275, b"SQ", inner))
    new = element(tag, b"SQ" if inner[:2] == b"\xfe\xff" else vr, inner[:60_000])
    parts.insert(at, (tag, new[:8], new[8:]))


Mutation = Callable[[bytes, random.Random], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _cut,
    *map(_changed, (_drop, _double, _swap, _length, _length, _vr, _vr, _value, _value, _value, _insert, _insert)),
)


def through_intake(file: Path) -> str:
    """Read an object as intake, as every pipeline and as `hilum explain` do; return what they say."""
    settings = Settings(home=file.parent)
    try:
        header = examine_header(file, maximum_bytes=MAXIMUM_BYTES)
    except Quarantined as error:
        explain(file, settings, calling_ae_title="FUZZ")
        return f"quarantined: {error.reason}"
    verdicts = [judge(header, named(name)) for name in installed()]
    explain(file, settings, calling_ae_title="FUZZ")
    return " ".join(verdict.eligibility for verdict in verdicts)


def through_pipeline(good: Path, mutant: Path, *, networks: Networks) -> str:
    """Analyse a study of a good image and a mutated one to the bytes of its results; return which there are."""
    images = [read_image(path, digest=identity_digest(path)[0]) for path in (good, mutant)]
    usable = tuple(image for image in images if image.header is None or image.header.study_instance_uid == STUDY)
    analysis = pipeline_run.run(
        CHEST, networks, Study(STUDY, usable), pipeline_run.Asked(created_at=utc_now(), profiles=[OHIF])
    )
    kinds = [result.kind for _, result in analysis.results]
    separated = any(item.reason is Reason.DIFFERENT_PATIENTS for item in analysis.request.declined)
    if kinds.count(ResultKind.SR) != 1 or (ResultKind.SEG not in kinds and not separated):
        raise AssertionError(f"the study is answered by {kinds}: the good image of it is not")
    return f"{'+'.join(sorted(set(kinds)))}{' withheld' if analysis.withheld else ''}"


def run(folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Fuzzed:
    """Send mutated objects through intake's reading; those that are findings stay in `keep`."""
    return _campaign("objects", folder, count=count, seed=seed, work=through_intake, keep=keep)


def run_pipeline(folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Fuzzed:
    """Send mutated objects, each beside a good one, through the whole pipeline."""
    networks, good = small_networks(folder / "bundles"), good_image(folder / "good.dcm")
    work = partial(through_pipeline, good, networks=networks)
    return _campaign("pipeline", folder, count=count, seed=seed, work=work, keep=keep)


def _campaign(
    name: str, folder: Path, *, count: int, seed: int, work: Callable[[Path], str], keep: Path | None
) -> Fuzzed:
    with own_temporary_folder(folder):
        begun = time.monotonic()
        found, sound = Fuzzed(name, seed), originals(folder)
        file = folder / "object.dcm"
        for number in range(count):
            if number == min(1000, count // 2):
                found.before = _measured(folder)  # what is loaded once is there
            dice = random.Random(f"{seed}/{number}")
            file.write_bytes(mutated(dice.choice(sound), dice))
            start, trouble = time.process_time(), ""
            try:
                found.outcomes[work(file)] += 1
            except Exception as error:  # whatever comes out is what is looked for
                trouble = f"{type(error).__name__}: {error}"[:300]
            seconds = time.process_time() - start
            found.slowest_s = max(found.slowest_s, seconds)
            found.count += 1
            if trouble or (number and seconds > SLOW_S):
                found.keep(number, file.read_bytes(), trouble or f"{seconds:.1f} s", keep)
            if number % SAY_EVERY == SAY_EVERY - 1:
                print(f"{number + 1} of {count}, {len(found.findings)} findings", flush=True)
        found.after = _measured(folder)
        found.bound(MOST_GROWTH)
        found.seconds = time.monotonic() - begun
        return found


def _measured(folder: Path) -> dict[str, float]:
    """Return resident memory in MiB, open descriptors, and temporary files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    temporary = sum(1 for _ in Path(tempfile.gettempdir()).iterdir())
    return {
        "MiB": pages * 4096 / (1 << 20),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "files": sum(1 for _ in folder.rglob("*")),
        "temporary files": temporary,
    }


def small_networks(folder: Path) -> Networks:
    """Return the networks of one bundle, lungs and heart."""
    tiny_bundles.segmenter(folder)
    return Networks(AnalysisSettings(bundles=folder, threads=1), "cpu")


def good_image(path: Path) -> Path:
    """Write the phantom of a chest that must be analysed beside whatever comes with it."""
    phantom.write(path, phantom.generate(4, rows=288, columns=260), study_instance_uid=STUDY, patient_id=PATIENT)
    return path
