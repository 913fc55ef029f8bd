"""What a destination takes of each profile: its own by sending a phantom's results, the others by asking.

Asking is an association that proposes what would be sent, and stores nothing. What is sent is a generated radiograph
with its results, under a patient and a study of its own, so that an archive's administrator can find and delete it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pydicom.uid import UID, generate_uid
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models import phantom
from node.clock import utc_now
from node.delivery.destinations import AnyDestination, Destination
from node.delivery.outcome import OutgoingFile, SendOutcome
from node.delivery.profiles import Profile
from node.dicom.kinds import RESULT_CLASSES, ResultClass
from node.dicom.part10 import identity_digest, read_meta
from node.dicom.status import Disposition
from node.dicom.uids import DIGITAL_XRAY, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, STORAGE_COMMITMENT
from node.dimse.scu import verification
from node.settings import Settings
from workers.jobs.transport import transmit
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.networks import Networks
from workers.pipelines.run import Asked, run
from workers.pipelines.study import Study, read_image

ROWS, COLUMNS, SEED = 1024, 840, 1
PATIENT_ID = "PROFILE-CHECK"


class Acceptance(StrEnum):
    """What became of one object, or would become of it."""

    TAKEN = "taken"
    WOULD_BE_TAKEN = "would be taken"
    NO_CLASS = "SOP class not accepted"
    NO_SYNTAX = "transfer syntax not accepted"
    REFUSED = "refused"
    BUSY = "not now"
    UNANSWERED = "no answer about it"


ASKED = frozenset({Acceptance.WOULD_BE_TAKEN, Acceptance.NO_CLASS, Acceptance.NO_SYNTAX})
GOOD = frozenset({Acceptance.TAKEN, Acceptance.WOULD_BE_TAKEN})


@dataclass(frozen=True)
class Line:
    """One object of one profile, and what the destination says to it."""

    profile: str
    result_class: ResultClass
    transfer_syntax_uid: str
    outcome: Acceptance
    detail: str = ""


@dataclass(frozen=True)
class Accepted:
    """Pairs of SOP class and transfer syntax that the destination accepts."""

    pairs: frozenset[tuple[str, str]]

    def of(self, result_class: ResultClass, transfer_syntax_uid: str) -> Acceptance:
        """Return what would become of an object."""
        if (result_class.sop_class_uid, transfer_syntax_uid) in self.pairs:
            return Acceptance.WOULD_BE_TAKEN
        known = any(sop_class == result_class.sop_class_uid for sop_class, _ in self.pairs)
        return Acceptance.NO_SYNTAX if known else Acceptance.NO_CLASS


@dataclass(frozen=True)
class DestinationReport:
    """All that was found out about one destination."""

    configured: str
    lines: tuple[Line, ...]
    commitment: bool | None
    """Whether it accepts the Storage Commitment Push Model; None: there is none over DICOMweb."""
    commitment_wanted: bool = False
    """Whether the destination is configured to ask for it."""
    study_instance_uid: str | None = None
    """The study of which it holds something now; None: nothing was sent, or nothing taken."""
    image_refused: str = ""
    """Why the image that the results belong to was not taken."""

    def of(self, profile: str) -> tuple[Line, ...]:
        """Return the lines of one profile."""
        return tuple(line for line in self.lines if line.profile == profile)

    @property
    def whole(self) -> tuple[str, ...]:
        """Names of the profiles of which every object is taken."""
        names = dict.fromkeys(line.profile for line in self.lines)
        return tuple(name for name in names if all(line.outcome in GOOD for line in self.of(name)))

    @property
    def lacks_commitment(self) -> bool:
        """Whether storage commitment is configured and not offered: every delivery would end as a dead letter."""
        return self.commitment_wanted and not self.commitment

    @property
    def passed(self) -> bool:
        """Whether destination and configuration fit."""
        return self.configured in self.whole and not self.lacks_commitment


def check(
    settings: Settings,
    destination: AnyDestination,
    *,
    networks: Networks | None,
    every: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> DestinationReport:
    """Find out what a destination takes.

    Parameters
    ----------
    networks
        They analyse the phantom whose results are sent; None sends nothing and only asks, which a DICOMweb service
        cannot be: nothing is found out then.
    every
        Send the results of every profile, not only those of the configured one.

    Raises
    ------
    PeerUnavailable
        There was no association.
    Misconfigured, BundleRefused
        Its TLS files, or the bundles, cannot be used.
    """
    profiles = settings.object_profiles
    progress("asking")
    accepted, commitment, wanted, lines = None, None, False, []
    if isinstance(destination, Destination):
        wanted = destination.commitment.ask
        accepted, commitment = _ask(settings, destination, tuple(profiles.values()))
        lines = [
            Line(profile.name, cls, syntax, accepted.of(cls, syntax))
            for profile in profiles.values()
            for cls, syntax in _objects(profile)
        ]
    if networks is None:
        return DestinationReport(destination.profile, tuple(lines), commitment, wanted)
    sent = [p for p in profiles.values() if every or p.name == destination.profile]
    with tempfile.TemporaryDirectory(prefix="hilum-profile-check-") as folder:
        parcel = _packed(networks, sent, Path(folder), progress)
        progress("sending")
        report = _send(settings, destination, parcel, accepted)
    # Not every object of a profile comes of this phantom: a key object selection needs a finding, say.
    answered = {(line.profile, line.result_class, line.transfer_syntax_uid) for line in report.lines}
    asked = [x for x in lines if (x.profile, x.result_class, x.transfer_syntax_uid) not in answered]
    return replace(report, lines=(*report.lines, *asked), commitment=commitment, commitment_wanted=wanted)


def print_report(report: DestinationReport, name: str, settings: Settings, console: Console) -> None:
    """Print what was found, and what to configure."""
    asked = all(line.outcome in ASKED for line in report.of(report.configured))
    title = f"{name}, profile {report.configured} (configured)" + (", only asked" if asked else "")
    console.print(_table("object", "transfer syntax", title, [_cells(line) for line in report.of(report.configured)]))
    others = [other for other in dict.fromkeys(line.profile for line in report.lines) if other != report.configured]
    if others:
        console.print(_table("profile", "for", "Other profiles", [_other(report, other, settings) for other in others]))
    if report.commitment is not None:
        console.print(f"Storage commitment: {'offered' if report.commitment else 'not offered'}")
    if report.study_instance_uid is not None:
        console.print(
            f"A phantom was sent as patient {PATIENT_ID}, study {report.study_instance_uid}: delete it there.",
            soft_wrap=True,
        )
    for sentence in advice(report, name, settings):
        console.print(f"→ {sentence}", soft_wrap=True, highlight=False)


def _table(first: str, second: str, title: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(first, second, "outcome", title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(line: Line) -> tuple[str, str, str]:
    colour = "green" if line.outcome in GOOD else "red"
    said = f"[{colour}]{line.outcome}[/]" + (f": {escape(line.detail)}" if line.detail else "")
    return f"{line.result_class.kind}  {line.result_class.name}", UID(line.transfer_syntax_uid).name, said


def _other(report: DestinationReport, profile: str, settings: Settings) -> tuple[str, str, str]:
    """Say in one row what becomes of a profile."""
    lines = report.of(profile)
    bad = [line for line in lines if line.outcome not in GOOD]
    whole = Acceptance.TAKEN if all(line.outcome is Acceptance.TAKEN for line in lines) else Acceptance.WOULD_BE_TAKEN
    said = "; ".join(f"{line.result_class.kind}: {line.outcome}" for line in bad)
    return profile, settings.object_profiles[profile].purpose, f"[red]{said}[/]" if bad else f"[green]{whole}[/]"


def advice(report: DestinationReport, name: str, settings: Settings) -> list[str]:
    """Say what to configure, and where; nothing where the configured profile fits."""
    if report.passed:
        return [f"Profile {report.configured} fits {name}. It accepts every object of: {', '.join(report.whole)}."]
    calling = settings.receiver.ae_title
    said = []
    if report.image_refused:
        said.append(
            f"{name} took no radiograph from {calling} ({report.image_refused}); it must hold the radiographs already."
        )
    if report.lacks_commitment:
        said.append(
            f"{name} offers no storage commitment, and destinations.{name}.commitment.ask is on: let it offer the "
            f"Storage Commitment Push Model ({STORAGE_COMMITMENT}) to {calling}, or set that to false."
        )
    for line in report.of(report.configured):
        cls = line.result_class
        match line.outcome:
            case Acceptance.NO_CLASS:
                said.append(
                    f"Let {name} accept {cls.name} ({cls.sop_class_uid}) as Storage SCP from {calling}, or choose a "
                    f"profile without {cls.kind}."
                )
            case Acceptance.NO_SYNTAX:
                said.append(
                    f"Let {name} accept {UID(line.transfer_syntax_uid).name} ({line.transfer_syntax_uid}) for "
                    f"{cls.name}, or choose a profile without that compression."
                )
            case Acceptance.REFUSED:
                said.append(f"{name} refused {cls.kind} ({line.detail}): look into its log for the reason.")
            case Acceptance.BUSY:
                said.append(
                    f"{name} could not take {cls.kind} now ({line.detail}): see to what it lacks, such as room on its "
                    "disk, then check again."
                )
            case Acceptance.UNANSWERED:
                said.append(
                    f"{name} gave no answer about {cls.kind} ({line.detail}): look at its address, at the credentials "
                    "and at the connection, then check again."
                )
    if report.configured in report.whole:
        return said
    if report.whole:
        said.append(
            f"Or set destinations.{name}.profile to one of which it accepts everything: {', '.join(report.whole)}."
        )
    else:
        said.append("It accepts no profile as a whole; the SR, at least, must be accepted.")
    return said


def _objects(profile: Profile) -> list[tuple[ResultClass, str]]:
    """Return SOP class and transfer syntax of each object of a profile."""
    return [(profile.sop_class(kind), profile.transfer_syntax(kind)) for kind in profile.objects]


def _ask(settings: Settings, destination: Destination, profiles: Sequence[Profile]) -> tuple[Accepted, bool]:
    """Propose every object of every profile, and storage commitment."""
    pairs = {(cls.sop_class_uid, syntax) for profile in profiles for cls, syntax in _objects(profile)}
    pairs |= {(sop_class, EXPLICIT_LITTLE_ENDIAN) for sop_class, _ in pairs}
    found = verification.accepted_pairs(
        destination,
        sorted(pairs | {(STORAGE_COMMITMENT, IMPLICIT_LITTLE_ENDIAN)}),
        calling_ae_title=settings.receiver.ae_title,
        timeout_s=settings.delivery.connect_timeout_s,
    )
    return Accepted(frozenset(found & pairs)), any(sop_class == STORAGE_COMMITMENT for sop_class, _ in found)


@dataclass(frozen=True)
class _Parcel:
    """A phantom and its results, as files."""

    study_instance_uid: str
    image: OutgoingFile
    results: tuple[tuple[Profile, OutgoingFile], ...]


def _packed(networks: Networks, profiles: Sequence[Profile], folder: Path, progress: Callable[[str], None]) -> _Parcel:
    """Draw a phantom and analyse it."""
    source = folder / "phantom.dcm"
    study = str(generate_uid())
    progress("drawing a phantom")
    phantom.write(
        source, phantom.generate(SEED, rows=ROWS, columns=COLUMNS), study_instance_uid=study, patient_id=PATIENT_ID
    )
    image = read_image(source, digest=identity_digest(source)[0])
    analysis = run(
        CHEST, networks, Study(study, (image,)), Asked(created_at=utc_now(), profiles=profiles), on_progress=progress
    )
    results = []
    for number, (profile, result) in enumerate(analysis.results):
        path = folder / f"{number}.dcm"
        path.write_bytes(result.content)
        results.append((profile, OutgoingFile(result.sop_class_uid, result.sop_instance_uid, path)))
    return _Parcel(study, OutgoingFile(DIGITAL_XRAY, image.sop_instance_uid, source), tuple(results))


def _send(
    settings: Settings, destination: AnyDestination, parcel: _Parcel, accepted: Accepted | None
) -> DestinationReport:
    """Send a parcel, and say what became of each object."""
    files = [parcel.image, *(file for _, file in parcel.results)]
    image, *results = transmit(settings, destination, files)
    lines = [
        _line(profile, file, outcome, accepted)
        for (profile, file), outcome in zip(parcel.results, results, strict=True)
    ]
    took_any = any(outcome.disposition is Disposition.ACCEPTED for outcome in (image, *results))
    return DestinationReport(
        configured=destination.profile,
        lines=tuple(lines),
        commitment=None,
        study_instance_uid=parcel.study_instance_uid if took_any else None,
        image_refused="" if image.disposition is Disposition.ACCEPTED else image.detail,
    )


def _line(profile: Profile, file: OutgoingFile, outcome: SendOutcome, accepted: Accepted | None) -> Line:
    """Say what became of an object that was sent; a SEG may be another than the profile asks for."""
    result_class = next(row for row in RESULT_CLASSES if row.sop_class_uid == file.sop_class_uid)
    with file.path.open("rb") as stored:
        syntax = read_meta(stored).transfer_syntax_uid
    asked = Acceptance.WOULD_BE_TAKEN if accepted is None else accepted.of(result_class, syntax)
    if outcome.status is None and asked is not Acceptance.WOULD_BE_TAKEN:
        return Line(profile.name, result_class, syntax, asked)
    if not outcome.answered:
        return Line(profile.name, result_class, syntax, Acceptance.UNANSWERED, outcome.detail)
    verdict = {
        Disposition.ACCEPTED: Acceptance.TAKEN,
        Disposition.RETRY: Acceptance.BUSY,
        Disposition.REFUSED: Acceptance.REFUSED,
        Disposition.DOUBTFUL: Acceptance.REFUSED,
    }[outcome.disposition]
    return Line(profile.name, result_class, syntax, verdict, outcome.detail)
