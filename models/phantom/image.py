"""Composition of the parts into a radiograph of 12 bits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.phantom import anatomy, skeleton, softtissue
from models.phantom.scene import PITCH_MM, Scene, fill, lay_out, outlines, warped_appearance
from models.phantom.warp import Floats

Pixels = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

BITS_STORED = 12
ADULT_YEARS = 16
SMALLEST = 64
_MAXIMUM = 2**BITS_STORED - 1


@dataclass(frozen=True)
class Phantom:
    """A generated frontal chest radiograph and its truth.

    Attributes
    ----------
    pixels
        (rows, columns) uint16 array. 0 to 4095; bright is dense (MONOCHROME2); the patient's right is on the left of
        the image.
    right_lung, left_lung, heart
        (rows, columns) bool arrays. True masks on the same grid. The lungs are the visible lung fields (JSRT
        convention: what lies behind heart and diaphragm does not count); the heart ends where a lung begins.
    spacing_mm
        Pixel spacing at the detector, the same in both directions.
    age_years
        Age the anatomy was scaled to.
    seed
        The seed it was generated from.
    """

    pixels: Pixels
    right_lung: Bools
    left_lung: Bools
    heart: Bools
    spacing_mm: float
    age_years: int
    seed: int

    @property
    def cardiothoracic_ratio(self) -> float:
        """Widest heart over widest thorax (inner borders of the lungs' extremes), from the true masks."""
        heart = np.flatnonzero(self.heart.any(axis=0))
        lungs = np.flatnonzero((self.right_lung | self.left_lung).any(axis=0))
        return float((heart[-1] - heart[0] + 1) / (lungs[-1] - lungs[0] + 1))


@dataclass(frozen=True)
class _Body:
    """What age makes of a chest: size relative to an adult, breadth, heart width, slope of the ribs."""

    size: float
    breadth: float
    heart: float
    rib_slope: float


def _body_at(age_years: int) -> _Body:
    """Return proportions by age: a small child's chest is rounder, its heart broader and its ribs flatter."""
    grown = float(np.interp(age_years, [0, 1, 5, 10, ADULT_YEARS], [0.38, 0.45, 0.6, 0.76, 1.0]))
    young = float(np.interp(age_years, [1, 6, ADULT_YEARS], [1.0, 0.6, 0.0]))
    return _Body(size=grown, breadth=1 + 0.16 * young, heart=0.035 * young, rib_slope=1 - 0.35 * young)


def generate(
    seed: int, *, rows: int = 2500, columns: int = 2048, age_years: int = 54, projection: str = "PA"
) -> Phantom:
    """Generate a frontal chest radiograph; the same arguments give the same pixels.

    Parameters
    ----------
    seed
        Chooses the anatomy (heart width, shape of the lungs, tilt), exposure and noise. The anatomy does not depend on
        the number of pixels, only on the proportions of the image.
    rows, columns
        Size of the image, at least 64 each.
    age_years
        Below 16 the chest becomes smaller and rounder.
    projection
        {"PA", "AP"}. AP makes the heart broader, as it is farther from the detector.

    Returns
    -------
    Phantom

    Raises
    ------
    ValueError
        If the size is too small, the age negative, or the projection unknown.
    """
    if min(rows, columns) < SMALLEST:
        raise ValueError(f"size {rows}x{columns}: expected at least {SMALLEST}x{SMALLEST}")
    if age_years < 0:
        raise ValueError(f"age {age_years}: expected 0 or more years")
    if projection not in ("PA", "AP"):
        raise ValueError(f"projection {projection!r}: expected PA or AP")
    # Streams of their own: a change to the noise leaves the anatomy of every seed as it was.
    anatomy_random, detail_random, exposure_random = np.random.default_rng(seed).spawn(3)
    proportions = _body_at(age_years)
    scene = _scene(anatomy_random, proportions, columns / rows, wider_heart=0.03 if projection == "AP" else 0.0)
    attenuation = _attenuation(scene, detail_random, proportions)
    pixels = _expose(attenuation, (rows, columns), exposure_random)
    scale = np.array([columns / scene.shape[1], rows / scene.shape[0]])
    masks = [
        fill((rows, columns), (scene.place(outline) + 0.5) * scale - 0.5, value=1, antialiased=False) > 0
        for outline in outlines(scene.chest.points)
    ]
    return Phantom(
        pixels=pixels,
        right_lung=masks[0],
        left_lung=masks[1],
        heart=masks[2] & ~(masks[0] | masks[1]),  # what is seen of its border is the lungs' border
        spacing_mm=round(PITCH_MM * scene.shape[0] / rows * proportions.size, 4),
        age_years=age_years,
        seed=seed,
    )


def _scene(random: np.random.Generator, body: _Body, columns_over_rows: float, *, wider_heart: float) -> Scene:
    """Draw the anatomy and where it lies in the field."""
    ratio = float(np.clip(random.normal(0.505, 0.06) + body.heart + wider_heart, 0.41, 0.63))
    chest = anatomy.sample(anatomy.load(), random, cardiothoracic_ratio=ratio)
    aspect = float(np.clip(chest.aspect, 0.85, 1.22)) * body.breadth
    return lay_out(
        anatomy.Chest(chest.points, chest.appearance, aspect),
        columns_over_rows=columns_over_rows,
        fill=random.uniform(0.72, 0.84),
        rotation_deg=float(np.clip(random.normal(0, 1.2), -3, 3)),
        offset=(0.015 * random.normal(), 0.015 * random.normal()),
    )


def _attenuation(scene: Scene, random: np.random.Generator, proportions: _Body) -> Floats:
    """Return the attenuation on the drawing grid: 0 lung, 1 heart, −0.6 air."""
    appearance = warped_appearance(scene, anatomy.load())
    lung = softtissue.lungs(scene)
    image = appearance + softtissue.sharpened_borders(appearance, lung)
    image += softtissue.heart(scene) * (1 - lung.both)
    inside, thickness = softtissue.body(scene, random)
    # Bones show less where much lies over them: the film is nearly saturated there already.
    bones = np.float32(0.24) * skeleton.ribs(scene, random, slope=proportions.rib_slope)
    bones += np.float32(0.27) * skeleton.clavicles(scene, random)
    bones += np.float32(0.26) * skeleton.shoulders(scene, random)
    bones += np.float32(0.20) * skeleton.spine(scene, random)
    visible = np.float32(0.22) + np.float32(0.78) * np.clip(np.float32(1.25) - image, 0, 1)
    image = image + bones * visible
    image += softtissue.airways(scene, random)
    image += softtissue.vessels(scene, lung, random)
    if random.uniform() < 0.5 and proportions.size == 1.0:
        image += softtissue.breasts(scene, random)
    image += softtissue.stomach_gas(scene, lung, random)
    image += softtissue.texture(scene, lung, random)
    air = np.float32(softtissue.AIR)
    image = air + (image - air) * inside * (np.float32(0.25) + np.float32(0.75) * thickness)
    return np.asarray(image, dtype=np.float32)


def _expose(attenuation: Floats, shape: tuple[int, int], random: np.random.Generator) -> Pixels:
    """Return the 12-bit image: resampling, quantum noise, tone curve, marker, collimation."""
    rows, columns = shape
    shrinking = rows < attenuation.shape[0]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    image = cv2.resize(attenuation, (columns, rows), interpolation=method)
    # Poisson: the relative deviation of the quanta grows with the square root of the attenuation's exponential.
    dose = random.uniform(0.7, 1.5)
    grain = random.standard_normal(shape, dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.6) * np.float32(1.9)
    image += grain * np.exp(np.float32(0.75) * image) * np.float32(0.011 / dose)
    gain, level = random.uniform(0.88, 1.12), random.normal(0, 0.07)
    x = (image - np.float32(0.60 + level)) * np.float32(gain * 2.15)
    # A logistic curve has the toe and the shoulder of a film.
    image = np.float32(_MAXIMUM) / (1 + np.exp(-x * np.float32(1.12)))
    _mark(image, random)
    _collimate(image, random)
    return np.asarray(np.clip(np.rint(image), 0, _MAXIMUM), dtype=np.uint16)


def _mark(image: Floats, random: np.random.Generator) -> None:
    """Draw the side marker: an L on the patient's left, near the shoulder."""
    rows, columns = image.shape
    height = rows * 0.028
    left, top = columns * random.uniform(0.89, 0.93), rows * random.uniform(0.06, 0.10)
    if random.uniform() < 0.85:
        strokes = np.array([(0, 0), (0.2, 0), (0.2, 0.84), (0.62, 0.84), (0.62, 1), (0, 1)])
        letter = fill(image.shape, strokes * height + [left, top]).astype(np.float32) / np.float32(255)
        np.maximum(image, letter * np.float32(3900), out=image)


def _collimate(image: Floats, random: np.random.Generator) -> None:
    """Darken a narrow border where the collimator stood, with its penumbra."""
    rows, columns = image.shape
    for axis, length in ((0, rows), (1, columns)):
        ramp = np.ones(length, np.float32)
        position = np.arange(length, dtype=np.float32)
        for edge in (position, position[::-1]):
            width = random.uniform(-0.012, 0.018) * length
            ramp *= np.clip((edge - width) / (0.004 * length) + 1, 0, 1).astype(np.float32)
        image *= ramp[:, None] if axis == 0 else ramp[None, :]
