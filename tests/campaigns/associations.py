"""Mutated associations: a grammar of the upper layer against a real receiver process.

Each connection follows from the seed and its number. Whatever is sent, the answer is made of whole PDUs and the
connection ends; the receiver keeps no memory, descriptor, thread or temporary file of it, loses nothing that it
answered with Success, and takes the next sound association.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from node.delivery.destinations import Destination
from node.dicom.status import Status
from node.dimse.archive import reserved_port
from node.dimse.scu import verification
from node.errors import PeerUnavailable
from node.spool.store import Spool
from tests.campaigns.frame.fuzzed import Fuzzed
from tests.support.paths import ROOT
from tests.support.peers import wire
from tests.support.peers.processes import process
from tests.support.waiting import wait_for

WARM_UP = 200
"""Connections before the first measurement: caches are filled, threads have had their stacks."""
SAY_EVERY = 5000
THREADS = 4
END_WITHIN_S = 20.0
MOST_MIB = 24
"""Memory that may be more afterwards: the allocator keeps some."""
MOST_PDU_BYTES = 1 << 18
"""No mutation makes more of a PDU by repeating it."""
ANSWERS = {2: "AC", 3: "RJ", 4: "P-DATA", 6: "RELEASE-RP", 7: "ABORT"}

UIDS = (
    wire.CR,
    wire.DX,
    wire.VERIFICATION,
    "1.2.840.10008.1.20.1",
    "1.2." + "3" * 70,
    "",
    "none",
    "1.2.840.10008.5.1.4.1.1.2",
)
SYNTAXES = (wire.EXPLICIT, wire.IMPLICIT, wire.J2K, "1.2.3", "", "\xff" * 9)
USER_ITEMS = (0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x00, 0xFF)
LENGTHS = (0, 1, 2, 3, 5, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


SOURCES = (*range(2, 10), *range(2, 10), *range(2, 10), 10)
"""Last numbers of the loopback addresses of the peers; the tenth is outside the allowed networks."""


# The grammar


def item(kind: int, content: bytes) -> bytes:
    """Encode an item."""
    return struct.pack(">BxH", kind, len(content) & 0xFFFF) + content


def request(dice: random.Random) -> bytes:
    """Make an A-ASSOCIATE-RQ, one in two with items that no sender should send."""
    odd = dice.random() < 0.5
    contexts = [(1, wire.CR, [wire.EXPLICIT]), (3, wire.VERIFICATION, [wire.IMPLICIT])]
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")
    if odd:
        contexts += [
            (dice.randrange(256), dice.choice(UIDS), [dice.choice(SYNTAXES) for _ in range(dice.randrange(3))])
            for _ in range(dice.choice((0, 1, 3, 20, 126, 200)))
        ]
        user += b"".join(item(dice.choice(USER_ITEMS), noise(dice, 40)) for _ in range(dice.randrange(5)))
    body = struct.pack(">HH", 0 if odd and dice.random() < 0.05 else 1, 0)
    body += (b"HILUM" if dice.random() < 0.97 else noise(dice, 16)).ljust(16)[:16]
    body += (b"ROUTER" if dice.random() < 0.96 else noise(dice, 16)).ljust(16)[:16] + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1" if dice.random() < 0.97 else noise(dice, 30))
    for number, abstract, syntaxes in contexts:
        inner = item(0x30, abstract.encode("latin-1")) + b"".join(item(0x40, s.encode("latin-1")) for s in syntaxes)
        body += item(0x20, bytes([number, 0, 0, 0]) + inner)
    return struct.pack(">BxL", 1, len(body) + len(item(0x50, user))) + body + item(0x50, user)


def messages(dice: random.Random) -> Iterator[bytes]:
    """Make the PDUs of what is said on the association."""
    for number in range(dice.choice((0, 1, 1, 2, 5))):
        match dice.randrange(8):
            case 0:
                echo = wire.command_set(0x0030, data=False, sop_class=wire.VERIFICATION, message_id=number)
                yield wire.p_data(echo, command=True, context_id=3)
            case 1:  # any operation, in any context, with or without a data set
                operation, with_data = dice.randrange(1 << 16), dice.random() < 0.5
                yield wire.p_data(
                    wire.command_set(operation, data=with_data), command=True, context_id=dice.choice((1, 3))
                )
                if with_data:
                    yield wire.p_data(noise(dice, 100))
            case 2:
                yield wire.p_data(noise(dice, 60), command=dice.random() < 0.5, last=dice.random() < 0.5)
            case 3:
                yield struct.pack(">BxL", dice.randrange(256), 4) + noise(dice, 4)
            case _:
                yield from store(dice)


def store(dice: random.Random) -> Iterator[bytes]:
    """Make a C-STORE in fragments, some of them empty."""
    command, data = wire.command_set(instance=f"1.2.{dice.randrange(1 << 32)}"), dice.randbytes(dice.randrange(5000))
    for content, is_command in ((command, True), (data, False)):
        cuts = sorted(dice.randrange(len(content) + 1) for _ in range(dice.choice((0, 0, 1, 4))))
        parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
        for number, part in enumerate(parts):
            yield wire.p_data(part, command=is_command, last=number == len(parts) - 1)


def connection(seed: int, number: int) -> tuple[list[bytes], random.Random]:
    """Make the bytes of one connection: sound, or with up to four mutations."""
    dice = random.Random(f"{seed}:{number}")
    pdus = [request(dice), *messages(dice), dice.choice((wire.RELEASE_RQ, wire.RELEASE_RQ, wire.ABORT, b""))]
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 4))):
        at = dice.randrange(len(pdus))
        pdus[at] = dice.choice(MUTATIONS)(dice, pdus[at])
    if dice.random() < 0.05:
        dice.shuffle(pdus)
    return pdus, dice


def noise(dice: random.Random, most: int) -> bytes:
    """Make up to `most` bytes that are random, zero or letters."""
    length = dice.randrange(most + 1)
    return dice.choice((dice.randbytes(length), bytes(length), b"A" * length))


def _flip(dice: random.Random, content: bytes) -> bytes:
    at = dice.randrange(max(1, len(content)))
    return content[:at] + bytes([dice.randrange(256)]) + content[at + 1 :]


def _cut(dice: random.Random, content: bytes) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _insert(dice: random.Random, content: bytes) -> bytes:
    at = dice.randrange(len(content) + 1)
    return content[:at] + noise(dice, 20) + content[at:]


def _lie(dice: random.Random, content: bytes) -> bytes:
    """Replace the length of the PDU, or one that may stand anywhere in it."""
    if dice.random() < 0.5:
        return content[:2] + struct.pack(">L", dice.choice(LENGTHS)) + content[6:]
    at = dice.randrange(max(1, len(content) - 1))
    return content[:at] + struct.pack(">H", dice.choice(LENGTHS) & 0xFFFF) + content[at + 2 :]


def _repeat(dice: random.Random, content: bytes) -> bytes:
    return content * min(dice.choice((2, 3, 300)), 1 + MOST_PDU_BYTES // (1 + len(content)))


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_flip, _flip, _cut, _insert, _lie, _repeat)


# The run


def speak(port: int, pdus: list[bytes], dice: random.Random) -> tuple[bytes, float]:
    """Send the PDUs in pieces, and return what came until the receiver closed, and how long that took after the last.

    Raises
    ------
    TimeoutError
        It did not close.
    """
    content, answer = b"".join(pdus), b""
    with wire.connect(port, source=f"127.0.0.{dice.choice(SOURCES)}") as peer:
        peer.socket.settimeout(END_WITHIN_S)
        with contextlib.suppress(ConnectionError):
            step = dice.choice((len(content), len(content), 1000, 7)) or 1
            for at in range(0, min(len(content), 200 * step), step):
                peer.socket.sendall(content[at : at + step])
            if dice.random() < 0.97:  # the others stay until they are thrown out
                peer.socket.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while part := peer.socket.recv(65536):
                answer += part
        return answer, time.monotonic() - begun


def judge(answer: bytes) -> tuple[list[str], int]:
    """Name the PDUs of an answer, and count the objects that were answered with Success."""
    names, successes = [], 0
    while answer:
        kind, length = struct.unpack(">BxL", answer[:6].ljust(6, b"\xff"))
        if kind not in ANSWERS or len(answer) < 6 + length:
            raise ValueError(f"no PDU: {answer[:60].hex()}")
        pdu, answer = answer[: 6 + length], answer[6 + length :]
        names.append(ANSWERS[kind] if kind != 3 else f"RJ {pdu[7]}/{pdu[8]}/{pdu[9]}")
        successes += kind == 4 and b"\0\0\x00\x01\x02\0\0\0\x01\x80" in pdu and pdu_status(pdu) == 0
    return names, successes


def pdu_status(pdu: bytes) -> int:
    """Read Status (0000,0900) of a response."""
    at = pdu.index(b"\0\0\x00\x09\x02\0\0\0") + 8
    return int.from_bytes(pdu[at : at + 2], "little")


def measure(child: psutil.Process, home: Path) -> dict[str, float]:
    """Measure the receiver: resident memory, descriptors, threads, unfinished files."""
    unfinished = [path for path in (home / "spool" / "tmp").rglob("*") if path.suffix in (".part", ".association")]
    return {
        "MiB": child.memory_info().rss >> 20,
        "descriptors": child.num_fds(),
        "threads": child.num_threads(),
        "unfinished": len(unfinished),
    }


def run(folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Fuzzed:
    """Let a receiver that lives in `folder` take the connections, and look at it before and after."""
    found = Fuzzed("associations", seed, count)
    begun = time.monotonic()
    log, home = folder / "receiver.log", folder / "home"
    with reserved_port() as port:
        command = [sys.executable, "-m", "workers.cli", "receive", "--single"]
        with process(command, log=log, ready=lambda: _answers(port), env=_environment(home, port)) as child:
            receiver = psutil.Process(child.pid)
            successes = _speak_all(port, range(count, count + WARM_UP), found, keep)
            found.before = _at_rest(receiver, home)
            for start in range(0, count, SAY_EVERY):
                successes += _speak_all(port, range(start, min(count, start + SAY_EVERY)), found, keep)
                print(f"{min(count, start + SAY_EVERY)} of {count}, {measure(receiver, home)}", flush=True)
            found.after = _at_rest(receiver, home)
            successes += _stores(port, found)
    found.bound({"MiB": MOST_MIB, "descriptors": 0, "threads": 0, "unfinished": 0})
    kept = len(list((home / "spool" / "incoming").glob("*/*.dcm")))
    if kept < successes:
        found.findings.append(f"{successes} answered with Success, {kept} kept")
    still_open = [one.path.name for one in Spool(home / "spool").incoming.arrivals() if one.outcome is None]
    if still_open:
        found.findings.append(f"{len(still_open)} associations are not over")
    text = log.read_text(errors="replace")
    for word in ("Traceback", "connection.failed", "ValueError"):
        if word in text:
            found.findings.append(f"{word} in the log: {text[text.index(word) - 300 :][:2000]}")
    found.outcomes["objects stored"] = successes
    found.seconds = time.monotonic() - begun
    return found


def _stores(port: int, found: Fuzzed) -> int:
    """Store a sound object, after everything; return how many were answered with Success."""
    with wire.connect(port) as peer:
        if not peer.associate().startswith(b"\x02"):
            found.findings.append("the receiver takes no sound association any more")
        elif (status := peer.store(b"data")) != Status.SUCCESS:
            found.findings.append(f"the receiver takes no sound object any more: {status:#06x}")
        else:
            peer.release()
            return 1
    return 0


def _environment(home: Path, port: int) -> dict[str, str]:
    receiver = {
        "port": port,
        "allowed_calling_ae_titles": '["ROUTER", "STORESCU", "HILUM"]',
        "allowed_networks": '["127.0.0.0/29", "127.0.0.8/31"]',
        "association_timeout_s": 1,
        "network_timeout_s": 1,
        "dimse_timeout_s": 2,
        "maximum_object_bytes": 1 << 16,
    }
    settings = {f"HILUM_RECEIVER__{name.upper()}": str(value) for name, value in receiver.items()}
    return {
        **settings,
        "HILUM_HOME": str(home),
        "HILUM_SPOOL__MINIMUM_FREE_BYTES": "0",
        "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
    }


def _answers(port: int) -> bool:
    try:
        to = Destination(ae_title="HILUM", host="127.0.0.1", port=port)
        verification.echo(to, calling_ae_title="HILUM", timeout_s=5)
    except PeerUnavailable:
        return False
    return True


def _at_rest(receiver: psutil.Process, home: Path) -> dict[str, float]:
    """Measure once the last connection is over, and its thread."""
    last: list[tuple[int, int]] = []

    def quiet() -> bool:
        time.sleep(0.5)
        last.append((receiver.num_threads(), receiver.num_fds()))
        over = all(one.status == psutil.CONN_LISTEN for one in receiver.net_connections())
        return over and len(last) > 3 and len(set(last[-4:])) == 1

    wait_for(quiet, timeout_s=END_WITHIN_S, what="the end of all connections")
    return measure(receiver, home)


def _speak_all(port: int, numbers: range, found: Fuzzed, keep: Path | None) -> int:
    """Open the connections of these numbers; return how many objects were answered with Success."""

    def one(number: int) -> tuple[int, list[str], int, float, str]:
        pdus, dice = connection(found.seed, number)
        try:
            answer, seconds = speak(port, pdus, dice)
            return (number, *judge(answer), seconds, "")
        except (OSError, ValueError) as error:
            return number, [], 0, 0.0, f"{type(error).__name__}: {error}"

    total = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for number, names, successes, seconds, trouble in pool.map(one, numbers, chunksize=1):
            found.outcomes["+".join(dict.fromkeys(names)) or "none"] += 1
            found.slowest_s = max(found.slowest_s, seconds)
            total += successes
            if trouble:
                found.keep(number, b"".join(connection(found.seed, number)[0]), trouble, keep)
    return total
