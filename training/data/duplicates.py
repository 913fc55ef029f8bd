"""Images that are in a set twice: the same pixels, or nearly (encoded again, cropped a little, brightened).

Exact ones have one SHA-256 of their pixels. Near ones are looked for in two steps. A perceptual hash of 255 bits (signs
of the low frequencies against their median) leaves pairs that might be; chest radiographs all look alike, so that
alone would find hundreds of other patients: of the paediatric set's 10.2 million pairs 8,008 differ in 72 bits or
fewer, twenty of them truly. What decides is the correlation of the fine structure after both were laid onto each other
(ECC, Evangelidis and Psarakis 2008, affine). Measured on the paediatric and the NIH set: copies in JPEG of quality 60,
brightened, or cropped by up to 5 % at each edge correlate at 0.929 or more, two images of one patient at 0.89 or
less, images of two patients at 0.77 or less.

The hash is written here, not taken from a library: imagehash (BSD-2) has it in 64 bits and for one file at a time, and
brings PyWavelets along. Mirrored and turned copies are not found.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from models.image.pixels import Radiograph

THUMBNAIL = 96
"""Edge of the squares in which the fine structure is compared."""
FREQUENCIES = 16
SIMILAR = 0.92
"""Correlation from which two images are one; see the measurements above."""
BITS = 72
"""Hashes that differ in more bits are not compared further: 99 % of the copies cropped by 3 % lie below."""
MAX_CANDIDATES = 20_000
"""With more pairs than these the bound on the bits is lowered: the comparisons would take hours."""

_COARSE_THUMBNAIL = 48
_COARSE_SIMILAR = 0.7
_ROWS_AT_ONCE = 512
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an image to find it again.

    Attributes
    ----------
    digest
        SHA-256 of its pixels and shape.
    bits
        uint64 (4,), the perceptual hash.
    thumbnail
        uint8 (THUMBNAIL, THUMBNAIL), squashed to a square.
    """

    digest: str
    bits: NDArray[np.uint64]
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """Two images, by their position, that are nearly one."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Near:
    """Near duplicates, and in how many bits the hashes of compared pairs differed at most."""

    pairs: tuple[Pair, ...]
    bits: int
    compared: int


def fingerprint(radiograph: Radiograph) -> Fingerprint:
    """Take the fingerprint of an image."""
    stored = np.ascontiguousarray(radiograph.pixels)
    digest = hashlib.sha256(repr(stored.shape).encode() + stored.tobytes()).hexdigest()
    small = cv2.resize(stored, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    thumbnail = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
    return Fingerprint(digest, _hash(thumbnail), thumbnail)


def exact(prints: Sequence[Fingerprint]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of images, by position, that have the same pixels."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(prints):
        groups[one.digest].append(index)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def near(
    prints: Sequence[Fingerprint],
    progress: Callable[[int, int], None] | None = None,
    *,
    limit: int = MAX_CANDIDATES,
) -> Near:
    """Find the pairs that are nearly one image; exact duplicates are left out.

    `progress` is told how many of how many pairs have been compared; at most `limit` are.
    """
    if len(prints) < 2:
        return Near((), BITS, 0)
    candidates = sorted(_candidates(np.stack([one.bits for one in prints])))
    # Exact ones are told elsewhere, and a flat picture has no structure to compare.
    candidates = [one for one in candidates if prints[one[1]].digest != prints[one[2]].digest]
    bits = BITS if len(candidates) <= limit else candidates[limit][0] - 1
    candidates = [one for one in candidates if one[0] <= bits]
    fine: dict[int, tuple[Values, Values]] = {}
    found = []
    for done, (_, first, second) in enumerate(candidates, 1):
        for index in (first, second):
            if index not in fine:
                fine[index] = _both_sizes(prints[index].thumbnail)
        similarity = _compared(fine[first], fine[second])
        if similarity >= SIMILAR:
            found.append(Pair(first, second, similarity))
        if progress is not None:
            progress(done, len(candidates))
    return Near(tuple(sorted(found, key=lambda pair: (pair.first, pair.second))), bits, len(candidates))


def _hash(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the signs of the low frequencies, but for the mean, against their median, as uint64 (4,)."""
    small = cv2.resize(thumbnail.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    low = np.asarray(dctn(small, norm="ortho"))[:FREQUENCIES, :FREQUENCIES].reshape(-1)
    signs = low > np.median(low[1:])
    signs[0] = False
    return np.packbits(signs).view(np.uint64)


def _candidates(bits: NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Return the pairs whose hashes differ in few bits: how many, first, second."""
    for start in range(0, len(bits), _ROWS_AT_ONCE):
        part = bits[start : start + _ROWS_AT_ONCE]
        apart = sum(
            np.bitwise_count(part[:, None, word] ^ bits[None, start:, word]).astype(np.uint16) for word in range(4)
        )
        for row, column in np.argwhere(np.asarray(apart) <= BITS).tolist():
            if row < column:
                yield int(np.asarray(apart)[row, column]), start + row, start + column


def _both_sizes(thumbnail: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Return the fine structure of an image, coarse and whole."""
    coarse = cv2.resize(thumbnail, (_COARSE_THUMBNAIL, _COARSE_THUMBNAIL), interpolation=cv2.INTER_AREA)
    return _fine(np.asarray(coarse, np.uint8), 1.5), _fine(thumbnail, 3.0)


def _fine(thumbnail: NDArray[np.uint8], sigma: float) -> Values:
    """Take away slow changes and the local contrast: what brightening leaves alone."""
    values = thumbnail.astype(np.float32)
    detail = values - cv2.GaussianBlur(values, (0, 0), sigma)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 2 * sigma))
    # 2 grey values: below that it is the noise of the encoding.
    return np.asarray(detail / (spread + 2), np.float32)


def _compared(first: tuple[Values, Values], second: tuple[Values, Values]) -> float:
    """Return the correlation of two images laid onto each other; the coarse one where that is low already."""
    coarse = _aligned(first[0], second[0])
    return coarse if coarse < _COARSE_SIMILAR else _aligned(first[1], second[1])


def _aligned(first: Values, second: Values) -> float:
    """Return the correlation after an affine alignment; 0 when none is found."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        whole = np.ones(second.shape, np.uint8)
        correlation, _ = cv2.findTransformECC(first, second, start, cv2.MOTION_AFFINE, stop, whole, 3)
    except cv2.error:  # it raises where it does not converge
        return 0.0
    return float(correlation) if np.isfinite(correlation) else 0.0
