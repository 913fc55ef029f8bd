"""Every transfer syntax and SOP class of the table, over the wire and back to pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile, SendOutcome
from node.dicom.contexts import BY_UID, STORAGE_CLASSES, accepted_contexts
from node.dicom.header import read_header
from node.dicom.part10 import read_meta
from node.dicom.uids import VERIFICATION_SOP_CLASS
from node.dimse.scu import storage
from node.errors import PeerUnavailable
from node.identity import IMPLEMENTATION_CLASS_UID
from node.intake.eligibility import Eligibility, judge
from node.reasons import Reason
from node.settings import Settings
from node.spool.store import Spool
from tests.support.data.radiographs import write_in
from tests.support.peers import servers
from tests.support.waiting import wait_for
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE

ACCEPTED = sorted(accepted_contexts()["1.2.840.10008.5.1.4.1.1.1.1"])

# What storescu calls the syntaxes; it knows no HTJ2K.
STORESCU = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.57": "-xs",  # with -R the file's own syntax is proposed beside the option's
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
TOLERANCE = {
    "1.2.840.10008.1.2.4.50": 4,
    "1.2.840.10008.1.2.4.81": 2,
    "1.2.840.10008.1.2.4.91": 8,
    "1.2.840.10008.1.2.4.203": 1,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", receiver={"port": 0, "processes": 1}, spool={"minimum_free_bytes": 0})


def received(settings: Settings) -> Path:
    """The one file that has arrived."""
    spool = Spool(settings.home / "spool")
    (folder,) = wait_for(lambda: [f for f in spool.incoming.arrivals() if f.outcome], what="arrival")
    (file,) = folder.files
    return file


def data_set(path: Path) -> bytes:
    with path.open("rb") as file:
        read_meta(file)
        return file.read()


@pytest.mark.parametrize("syntax", ACCEPTED)
def test_each_syntax_arrives_and_decodes(settings: Settings, tmp_path: Path, syntax: str) -> None:
    pytest.importorskip("openjpeg", reason="decoders are the worker's")
    sent, pixels = write_in(tmp_path / "sent.dcm", syntax)
    with servers.hilum(settings) as port:
        if syntax in STORESCU and syntax != "1.2.840.10008.1.2.4.57":
            servers.storescu(port, [sent], STORESCU[syntax])
        else:
            (outcome,) = send(port, sent)
            assert outcome.status == 0x0000
    file = received(settings)
    header = read_header(file)
    assert header.transfer_syntax_uid == syntax
    assert judge(header, CHEST_PIPELINE).reason is Reason.TOO_SMALL  # nothing else is the matter with it
    ds = dcmread(file)
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    difference = np.abs(ds.pixel_array.astype(int) - pixels.astype(int)).max()
    assert difference <= TOLERANCE.get(syntax, 0)


def send(port: int, path: Path) -> list[SendOutcome]:
    ds = dcmread(path, stop_before_pixels=True)
    return storage.send(
        Destination(ae_title="HILUM", host="127.0.0.1", port=port),
        [OutgoingFile(ds.SOPClassUID, ds.SOPInstanceUID, path)],
        calling_ae_title="TEST",
        connect_timeout_s=10,
        response_timeout_s=20,
    )


def test_the_data_set_is_kept_byte_for_byte(settings: Settings, tmp_path: Path) -> None:
    sent, _ = write_in(tmp_path / "sent.dcm", "1.2.840.10008.1.2.4.90")
    with servers.hilum(settings) as port:
        send(port, sent)
    file = received(settings)
    assert data_set(file) == data_set(sent)
    kept = Spool(settings.home / "spool").keep(file)
    assert kept.sha256 == hashlib.sha256(b"1.2.840.10008.1.2.4.90\0" + data_set(sent)).hexdigest()


def test_what_is_negotiated_is_the_table(settings: Settings) -> None:
    table = accepted_contexts()
    with servers.hilum(settings) as port:
        for row in STORAGE_CLASSES:
            ae = AE(ae_title="TEST")
            # One context for each syntax: in a common one, only the chosen one would be seen.
            separate = [build_context(row.uid, syntax) for syntax in BY_UID]
            association = ae.associate("127.0.0.1", port, contexts=separate, ae_title="HILUM")
            negotiated = {str(cx.transfer_syntax[0]) for cx in association.accepted_contexts}
            association.release()
            assert negotiated == set(table[row.uid]), row.name
        ae = AE(ae_title="TEST")
        ae.add_requested_context(VERIFICATION_SOP_CLASS)
        ae.add_requested_context(CTImageStorage)
        association = ae.associate("127.0.0.1", port, ae_title="HILUM")
        assert [cx.abstract_syntax for cx in association.accepted_contexts] == [VERIFICATION_SOP_CLASS]
        association.release()


def test_without_codecs_compressed_images_are_not_negotiated(settings: Settings, tmp_path: Path) -> None:
    sent, _ = write_in(tmp_path / "sent.dcm", "1.2.840.10008.1.2.4.90")
    bare = settings.model_copy(update={"receiver": settings.receiver.model_copy(update={"decoders": []})})
    with servers.hilum(bare) as port, pytest.raises(PeerUnavailable, match="accepts none"):
        send(port, sent)


REAL = {
    "chest-cr-monochrome1-jpeg2000": ("-xw", Eligibility.ACCEPT),
    "chest-cr-monochrome1-jpegls-near": ("-xu", Eligibility.ACCEPT),
    "chest-siim-sc-jpegbaseline": ("-xy", Eligibility.ACCEPT),
    "not-chest-extremity-rle": ("-xr", Eligibility.DECLINE),
    "not-chest-hip-jpegls": ("-xt", Eligibility.DECLINE),
    "not-chest-teeth-cr-modality-lut-jpeglossless": ("-xs", Eligibility.ACCEPT),
    "not-human-dx-lateral-thorax": ("-xe", Eligibility.DECLINE),
}


@pytest.mark.parametrize("name", REAL)
def test_real_objects_by_storescu(settings: Settings, data_folder: Path, name: str) -> None:
    option, eligibility = REAL[name]
    sent = data_folder / "dicom" / f"{name}.dcm"
    with servers.hilum(settings) as port:
        servers.storescu(port, [sent], option)
    file = received(settings)
    assert judge(read_header(file), CHEST_PIPELINE).eligibility is eligibility
    # storescu pads the odd length of one of them.
    assert dcmread(file).PixelData.startswith(dcmread(sent).PixelData)
