"""Deals a given folder of images to silos, as DICOM folders with a label file each.

Two kinds of folder are read: images (anything Pillow opens) with a `manifest.csv` of the columns
file, patient, label and optionally silo and split, which are wrapped into DICOM first; and DICOM
with a `labels.csv` of the columns patient, label and optionally silo and split. All images of a patient go to
one silo and one split. Wrapped headers hold invented names: the manifest has none.
"""

import csv
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from deploy.sandbox.dicom import Device, Person, write
from deploy.sandbox.scanner import SCANNERS
from imaging.volumes import pictures
from imaging.volumes.rejection import MAX_PIXELS
from privacy.errors import DataError

SPLITS = ("train", "val", "test")
SYNONYMS = {"validation": "val"}
SHARES = (0.7, 0.1, 0.2)
FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
"""Of pictures; Pillow would run other programs for some."""


class Partition(StrEnum):
    """How patients are dealt to silos when the folder does not say."""

    HASH = "hash"
    """By hash of the patient key: silos alike."""
    PREVALENCE = "prevalence"
    """Silos differ in prevalence and in scanner (contrast curve, blur, noise); images only."""


@dataclass(frozen=True)
class Row:
    """A patient as the table tells: label 0 or 1, and silo and split when it names them."""

    patient: str
    label: int
    silo: str
    split: str


def wrap(source: Path, destination: Path, silos: tuple[str, ...], partition: Partition) -> str:
    """Write `destination`/<silo>/dicom/ and `destination`/<silo>/labels.csv for every silo.

    Returns:
        What the data is, in a sentence for the summary.

    Raises:
        DataError: no table, a column or file is missing, a label is not 0 or 1, a patient has two labels,
            splits or silos, or a silo would have no patient.
    """
    wrapped = (source / "manifest.csv").is_file()
    table = source / ("manifest.csv" if wrapped else "labels.csv")
    if not table.is_file():
        raise DataError(
            f"{source.name} holds neither manifest.csv (images) nor labels.csv (DICOM); add one of them",
            code="data.no_table",
        )
    if partition is Partition.PREVALENCE and not wrapped:
        raise DataError("the partition by prevalence changes pixels and so needs images with a manifest.csv")
    records = _read(table, ("file", "patient", "label") if wrapped else ("patient", "label"))
    patients = _patients(records)
    homes = _deal(patients, silos, partition)
    for silo in silos:
        (destination / silo / "dicom").mkdir(parents=True)
        _write_labels(
            destination / silo / "labels.csv", [row for row in patients.values() if homes[row.patient] == silo]
        )
    if wrapped:
        _wrap_images(source, destination, records, homes, silos if partition is Partition.PREVALENCE else ())
        return f"{len(records)} images of {len(patients)} patients from {source.name}, wrapped into DICOM"
    count = _link_dicom(source, destination, homes, silos)
    return f"{count} DICOM files of {len(patients)} labelled patients from {source.name}"


def _read(table: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{table.name} has no column '{missing[0]}'; it needs {', '.join(columns)}")
            records = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table.name} is no table in UTF-8; save it again") from error
    if not records:
        raise DataError(f"{table.name} has no rows; list the patients in it")
    return records


def _patients(records: Iterable[Mapping[str, str]]) -> dict[str, Row]:
    patients: dict[str, Row] = {}
    for line, record in enumerate(records, start=2):
        key, label = record["patient"], record["label"]
        split = record.get("split") or _pick(key, "split", SHARES, SPLITS)
        split = SYNONYMS.get(split, split)
        if not key or label not in ("0", "1") or split not in SPLITS:
            raise DataError(
                f"line {line} of the table: needs a patient, a label 0 or 1 and a split of {', '.join(SPLITS)}"
            )
        row = Row(key, int(label), record.get("silo") or "", split)
        if patients.setdefault(key, row) != row:
            raise DataError(f"table line {line}: the patient has another label, silo or split further up")
    return patients


def _deal(patients: Mapping[str, Row], silos: tuple[str, ...], partition: Partition) -> dict[str, str]:
    named = sorted({row.silo for row in patients.values()})
    if named != [""]:
        if len(named) != len(silos) or "" in named:
            raise DataError(
                f"the table names {len(named)} silos but {len(silos)} take part; name as many for every patient or none"
            )
        names = dict(zip(named, silos, strict=True))
        return {key: names[row.silo] for key, row in patients.items()}
    rising = [1.0 + index for index in range(len(silos))]
    shares = {0: [1.0] * len(silos), 1: [1.0] * len(silos)}
    if partition is Partition.PREVALENCE:
        shares = {0: rising[::-1], 1: rising}
    homes = {key: _pick(key, "silo", shares[row.label], silos) for key, row in patients.items()}
    if set(homes.values()) != set(silos):
        raise DataError(f"{len(patients)} patients are too few for {len(silos)} silos; use fewer silos")
    return homes


def _pick(key: str, purpose: str, shares: Iterable[float], choices: tuple[str, ...]) -> str:
    """A choice with the given shares that depends on nothing but the key."""
    bounds = np.cumsum(list(shares))
    draw = int.from_bytes(hashlib.sha256(f"{purpose}\0{key}".encode()).digest()[:6], "big") / 2**48
    return choices[int(np.searchsorted(bounds, draw * bounds[-1], side="right"))]


def _write_labels(path: Path, rows: Iterable[Row]) -> None:
    with path.open("x", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("patient", "label", "split"))
        table.writerows((row.patient, row.label, row.split) for row in rows)


def _wrap_images(
    source: Path,
    destination: Path,
    records: Iterable[Mapping[str, str]],
    homes: Mapping[str, str],
    differing: tuple[str, ...],
) -> None:
    plain = Device("Sandbox", "Wrapped image", "none", 8)
    scanners = {silo: SCANNERS[index % len(SCANNERS)] for index, silo in enumerate(differing)}
    people: dict[str, Person] = {}
    random = np.random.default_rng(0)
    for number, record in enumerate(records):
        key = record["patient"]
        silo = homes[key]
        person = people.setdefault(key, Person(key, len(people)))
        pixels = _grey(source, record["file"], number + 2)
        device = plain
        if silo in scanners:
            scanner = scanners[silo]
            device = scanner.device
            seen = scanner.expose(pixels[None].astype(np.float32) / np.float32(255), random)[0]
            pixels = np.rint(seen * (2**device.bits_stored - 1)).astype(np.uint16)
        write(destination / silo / "dicom" / f"IM{number:06d}.dcm", pixels, person, device)


def _grey(source: Path, name: str, line: int) -> NDArray[np.uint16]:
    path = (source / name).resolve()
    if not path.is_relative_to(source.resolve()):
        raise DataError(f"line {line} of manifest.csv points out of its folder; give file names below it")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"line {line} of manifest.csv: the image has more than {MAX_PIXELS} pixels")
            return np.asarray(image.convert("L"), dtype=np.uint16)
    except pictures.ERRORS as error:
        raise DataError(f"line {line} of manifest.csv: the file is missing or not an image") from error


def _link_dicom(source: Path, destination: Path, homes: Mapping[str, str], silos: tuple[str, ...]) -> int:
    """Put every file where its patient lives; what cannot be read goes to the first silo, to be quarantined there."""
    files = sorted(
        path for path in source.rglob("*") if path.is_file() and path.parent / path.name != source / "labels.csv"
    )
    for number, path in enumerate(files):
        try:
            key = str(dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID", ""))
        except Exception:  # noqa: BLE001 - a broken file raises anything at all; ingest is what judges it
            key = ""
        target = destination / homes.get(key, silos[0]) / "dicom" / f"IM{number:06d}.dcm"
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
    return len(files)
