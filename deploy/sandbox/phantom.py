"""Makes synthetic chest studies: a phantom with and without opacities, unlike at each silo.

Silos differ in scanner (contrast, blur, noise, matrix), prevalence and number of patients, so that
the federation is not identically distributed. Nothing here is or resembles a person's image, and a
model trained on it is of no medical use.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.sandbox.dicom import Person, write
from deploy.sandbox.scanner import SCANNERS, Floats, Scanner

DESCRIPTION = "synthetic chest phantoms made by collegium-sandbox; no patient is behind them"


@dataclass(frozen=True)
class SiloPlan:
    """What one silo's archive shall hold."""

    name: str
    patients: int
    prevalence: float
    scanner: Scanner
    monochrome1: float = 0.05
    broken: int = 6


def plans(names: tuple[str, ...]) -> tuple[SiloPlan, ...]:
    """Archives that differ: sizes between 420 and 600 patients, prevalence between 0.3 and 0.6."""
    sizes = (600, 480, 420, 540)
    prevalences = (0.45, 0.3, 0.6, 0.4)
    return tuple(SiloPlan(name, sizes[i % 4], prevalences[i % 4], SCANNERS[i % 4]) for i, name in enumerate(names))


def make(plan: SiloPlan, destination: Path, seed: int) -> int:
    """Write `destination`/dicom/*.dcm and `destination`/labels.csv; returns the number of sound images.

    The same plan and seed give the same pixels and patients. `destination` must not exist.
    """
    random = np.random.default_rng(seed)
    folder = destination / "dicom"
    folder.mkdir(parents=True)
    keys = [f"{plan.name[:3].upper()}{number:06d}" for number in range(1, plan.patients + 1)]
    labels = random.permutation(plan.patients) < round(plan.prevalence * plan.patients)
    counts = random.choice(np.arange(1, 6), size=plan.patients, p=[0.5, 0.25, 0.12, 0.08, 0.05])
    owners = np.repeat(np.arange(plan.patients), counts)
    top = 2**plan.scanner.device.bits_stored - 1
    images = radiographs(labels[owners], plan.scanner, random)
    inverted = random.random(owners.size) < plan.monochrome1
    people = [Person(key, seed % 1000 + index) for index, key in enumerate(keys)]
    for index, owner in enumerate(owners):
        pixels = np.rint(images[index] * top).astype(np.uint16)
        write(folder / f"IM{index:05d}.dcm", pixels, people[owner], plan.scanner.device, inverted=bool(inverted[index]))
    _break(folder, plan.broken)
    splits = random.choice(("train", "val", "test"), size=plan.patients, p=[0.7, 0.1, 0.2])
    with (destination / "labels.csv").open("x", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("patient", "label", "split"))
        table.writerows(zip(keys, labels.astype(int).tolist(), splits.tolist(), strict=True))
    return int(owners.size)


def radiographs(opaque: NDArray[np.bool_], scanner: Scanner, random: np.random.Generator) -> Floats:
    """Phantoms as the scanner sees them: (images, matrix, matrix) float32 in [0, 1], bright = dense."""
    blocks = [
        scanner.expose(_dense(opaque[start : start + 64], scanner.matrix, random), random)
        for start in range(0, opaque.size, 64)
    ]
    return np.concatenate(blocks)


def _dense(opaque: NDArray[np.bool_], size: int, random: np.random.Generator) -> Floats:
    """Density of (n, size, size): body, two lungs, heart, spine, ribs, and opacities where told."""
    count = opaque.size
    axis = np.linspace(-1, 1, size, dtype=np.float32)

    def draw(low: float, high: float) -> Floats:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    y = axis[None, :, None] + draw(-0.08, 0.08)
    x = axis[None, None, :] + draw(-0.08, 0.08)
    width, height = draw(0.9, 1.1), draw(0.9, 1.1)

    def ellipse(cx: float | Floats, cy: float | Floats, rx: float | Floats, ry: float | Floats) -> Floats:
        """1 inside, 0 outside, with a soft edge."""
        radius = np.sqrt(((x - cx) / (rx * width)) ** 2 + ((y - cy) / (ry * height)) ** 2)
        edge: Floats = np.clip((1.0 - radius) * 6.0 + 0.5, 0, 1)
        return edge

    lungs = ellipse(-0.38, -0.05, 0.27, 0.62) + ellipse(0.38, -0.05, 0.27, 0.62)
    density = 0.62 * ellipse(0.0, 0.1, 0.88, 1.1) - draw(0.34, 0.44) * lungs
    density += draw(0.10, 0.2) * ellipse(draw(0.05, 0.14), 0.28, draw(0.22, 0.3), draw(0.22, 0.32))
    density += 0.12 * np.exp(-((x / 0.08) ** 2))
    ribs = np.sin((y - 0.35 * x**2) * draw(19, 23) + draw(0, 6.28))
    density += 0.05 * ribs * ellipse(0.0, 0.0, 0.75, 0.8)
    for _ in range(3):
        side = random.choice((-1.0, 1.0), (count, 1, 1)).astype(np.float32)
        cx, cy, radius = side * draw(0.28, 0.48), draw(-0.4, 0.35), draw(0.18, 0.32)
        strength = draw(0.15, 0.32) * opaque[:, None, None]
        density += strength * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)) * np.clip(lungs, 0.3, 1)
    return density * draw(0.85, 1.1) + 0.05


def _break(folder: Path, count: int) -> None:
    """Add files that no reader accepts: truncated in the pixels, truncated in the header, text, empty."""
    whole = (folder / "IM00000.dcm").read_bytes()
    contents = (whole[: len(whole) * 2 // 3], whole[:400], b"Thumbs.db is not an image\n", b"")
    for number in range(count):
        (folder / f"BROKEN{number:02d}.dcm").write_bytes(contents[number % 4])
