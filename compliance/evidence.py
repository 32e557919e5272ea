"""Finds the evidence below a folder: ledgers and signed studies, each verified, nothing else opened.

A ledger that fails its verification, and a study that does, are evidence too: they are kept with
the reason. Folders named `identity` are not entered and no link is followed. Whether a ledger's key
is that of the party it names is decided by the signed studies, which pin it.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from compliance.ledgers import LedgerEvidence, Reader
from privacy.configuration import MAX_BYTES, load
from privacy.errors import CollegiumError, ConfigError, WorkerFailed
from privacy.ledger.reader import ENTRIES, ORIGIN, root_at
from privacy.study import SignedStudy, Study, load_signed

CLOSED_FOLDERS = frozenset({"identity"})
"""Folders of secrets: never entered."""
_LONG = 64 << 20
"""Bytes of entries from which several processes are worth their start."""


@dataclass(frozen=True)
class StudyEvidence:
    """A study whose signature is right for the key it names.

    Attributes:
        study: the study.
        digest: hex; what approvals and charges refer to.
        signer: the consortium's study key, hex. To be compared with the consortium.
    """

    study: Study
    digest: str
    signer: str


@dataclass(frozen=True)
class Evidence:
    """Everything that was found in `directory`; `problems` are sentences about studies that failed."""

    directory: Path
    ledgers: tuple[LedgerEvidence, ...]
    studies: tuple[StudyEvidence, ...]
    problems: tuple[str, ...]

    def study(self, digest: str) -> StudyEvidence | None:
        """The study of a digest, if it was found."""
        return next((found for found in self.studies if found.digest == digest), None)

    def silos(self) -> tuple[LedgerEvidence, ...]:
        """The verified ledgers of hospitals."""
        return tuple(found for found in self.ledgers if found.role == "silo")


def gather(directory: Path) -> Evidence:
    """Find and verify all ledgers and signed studies below `directory`.

    Raises:
        ConfigError: there is no such folder, or no ledger in it.
        WorkerFailed: a process that reads ledgers ended early.
    """
    if not directory.is_dir():
        raise ConfigError(f"there is no folder '{directory.name}'; name the folder that holds the ledgers")
    folders: list[Path] = []
    studies: dict[str, StudyEvidence] = {}
    problems: list[str] = []
    for folder, names, files in os.walk(directory):
        names[:] = sorted(set(names) - CLOSED_FOLDERS)
        here = Path(folder)
        if ORIGIN in files:
            folders.append(here)
        for name in sorted(files):
            if is_signed_study(here / name):
                try:
                    found = _study(here / name)
                    studies.setdefault(found.digest, found)
                except CollegiumError as error:
                    problems.append(str(error))
    if not folders:
        raise ConfigError("there is no ledger in this folder or below it; name the folder that holds the ledgers")
    kept = _without_copies(directory, _read(directory, folders))
    order = sorted(kept, key=lambda found: (found.role != "silo", found.party, found.place))
    by_name = sorted(studies.values(), key=lambda found: (found.study.name, found.digest))
    return Evidence(directory, tuple(order), tuple(by_name), tuple(dict.fromkeys(problems)))


def _read(directory: Path, folders: list[Path]) -> list[LedgerEvidence]:
    """All ledgers, where they are long on all cores: a million entries take a core more than ten seconds."""
    places = [folder.relative_to(directory).as_posix() for folder in folders]
    length = sum((folder / ENTRIES).stat().st_size for folder in folders if (folder / ENTRIES).is_file())
    workers = min(len(folders), len(os.sched_getaffinity(0)))
    if length < _LONG or workers < 2:
        reader = Reader()
        return [reader.read(folder, place) for folder, place in zip(folders, places, strict=True)]
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            return list(pool.map(_read_one, folders, places, chunksize=4))
    except BrokenProcessPool as error:
        raise WorkerFailed("a process that reads ledgers ended early; look whether memory ran out") from error


def _read_one(folder: Path, place: str) -> LedgerEvidence:
    return _reader().read(folder, place)


@cache
def _reader() -> Reader:
    """This process's own, which remembers what the ledgers have in common."""
    return Reader()


def is_signed_study(path: Path) -> bool:
    """Whether a file looks like a signed study; whether it is one is verified when it is read."""
    if path.suffix not in (".yaml", ".yml") or path.is_symlink() or not path.is_file():
        return False
    if path.stat().st_size > MAX_BYTES:
        return False
    try:
        return b"\nsignature:" in b"\n" + path.read_bytes()
    except OSError:
        # A file that this person may not read is none that was handed over as evidence.
        return False


def _study(path: Path) -> StudyEvidence:
    signer = load(path, SignedStudy).signature.key
    study = load_signed(path, bytes.fromhex(signer))
    return StudyEvidence(study, study.digest().hex(), signer)


def _without_copies(directory: Path, ledgers: list[LedgerEvidence]) -> list[LedgerEvidence]:
    """Of several copies of one ledger only the longest is kept; a copy that tells another history is a problem."""
    kept: list[LedgerEvidence] = []
    longest: dict[tuple[str, bytes], LedgerEvidence] = {}
    for found in sorted(ledgers, key=lambda found: -found.size):
        if found.problem:
            kept.append(found)
            continue
        other = longest.setdefault((found.origin, found.key), found)
        if other is found:
            kept.append(found)
        elif root_at(directory / other.place, found.size) != found.root:
            sentence = f"the ledger of {found.origin} exists in two copies that tell different histories"
            kept.append(LedgerEvidence(found.place, sentence))
    return kept
