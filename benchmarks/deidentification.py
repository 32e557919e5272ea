"""How well de-identification does on made studies, by an answer table in MIDI-B's vocabulary.

`python -m benchmarks.deidentification --json` prints one JSON object: by action passed and asked, the whole as
a percentage, files a second. Removal and retention count alike, and a file that is missing fails every answer.
The studies are made (`benchmarks.deidentification_studies`); this is no score of the MIDI-B challenge.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.tag import Tag

from benchmarks.deidentification_studies import Answer, Made, studies
from imaging.deidentification import Option, Profile, Pseudonyms
from imaging.deidentification.dates import shifted
from imaging.deidentification.folder import FILES, deidentify
from imaging.deidentification.profile import PixelPolicy, PrivateBlock

KEY = bytes(range(32))
PROFILE = Profile(
    options=frozenset(
        {
            Option.CLEAN_DESCRIPTORS,
            Option.CLEAN_GRAPHICS,
            Option.CLEAN_PIXELS,
            Option.CLEAN_STRUCTURED_CONTENT,
            Option.MODIFIED_DATES,
            Option.RETAIN_PATIENT_CHARACTERISTICS,
            Option.RETAIN_SAFE_PRIVATE,
        }
    ),
    private=(PrivateBlock(group="0x0019", creator="SIEMENS MR HEADER", elements=("0x0c",)),),
)
SEARCHING = PROFILE.model_copy(update={"pixels": PixelPolicy(text_search="blank")})
WANTED = 99.9


def score(made: Iterable[Made], profile: Profile, folder: Path) -> dict[str, Any]:
    """De-identify made files and hold the result against their answers.

    Args:
        made: as `studies` makes them.
        profile: in force.
        folder: empty, for the files.
    """
    files = list(made)
    source = folder / "before"
    source.mkdir()
    for number, each in enumerate(files):
        each.dataset.save_as(source / f"{number:06d}.dcm", enforce_file_format=True)
    names = Pseudonyms(KEY)
    started = time.perf_counter()
    summary = deidentify(source, folder / "after", profile, names)
    seconds = time.perf_counter() - started
    judge = _Judge()
    for each in files:
        path = folder / "after" / FILES / f"{names.uid(each.dataset.SOPInstanceUID)}.dcm"
        after = dcmread(path) if path.exists() else None
        patient = str(each.dataset.PatientID)
        days = names.days(patient, profile.shift_days)
        for answer in each.answers:
            judge.count(answer, each.dataset, after, patient, days)
    asked, passed = sum(judge.asked.values()), sum(judge.passed.values())
    return {
        "files": len(files),
        "written": summary.files,
        "asked": asked,
        "passed": passed,
        "percent": round(100 * passed / asked, 3),
        "actions": {action: [judge.passed[action], judge.asked[action]] for action in sorted(judge.asked)},
        "failed": judge.failed[:20],
        "files_per_second": round(len(files) / seconds, 1),
    }


class _Judge:
    """Counts answers; remembers pseudonyms, so that one name has one and no two names share one."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.failed: list[str] = []
        self._names: dict[tuple[str, str], set[str]] = defaultdict(set)

    def count(self, answer: Answer, before: Dataset, after: Dataset | None, patient: str, days: int) -> None:
        self.asked[answer.action] += 1
        if after is not None and self._holds(answer, before, after, patient, days):
            self.passed[answer.action] += 1
        else:
            self.failed.append(f"{answer.action} {'/'.join(map(str, answer.path))}")

    def _holds(self, answer: Answer, before: Dataset, after: Dataset, patient: str, days: int) -> bool:
        element = _find(after, answer.path) if answer.path else None
        text = "" if element is None or element.value is None else str(element.value)
        match answer.action:
            case "tag_retained":
                return element is not None
            case "text_notnull":
                return bool(text)
            case "text_retained":
                return answer.value.casefold() in text.casefold()
            case "text_removed":
                return answer.value.casefold() not in text.casefold()
            case "date_shifted":
                return text == shifted(answer.value, "DT" if len(answer.value) > 8 else "DA", days) != answer.value
            case "uid_changed":
                return bool(text) and text != answer.value
            case "uid_consistent":
                return self._one("uid", answer.value, text)
            case "patid_consistent":
                return self._one("patient", patient, text)
            case "pixels_retained":
                return bool(after.PixelData == before.PixelData)
            case "pixels_hidden":
                x0, y0, x1, y1 = answer.box or (0, 0, 0, 0)
                hidden = after.pixel_array[y0:y1, x0:x1]
                return hidden.size > 0 and int(np.ptp(hidden)) == 0
        raise RuntimeError("no such action")

    def _one(self, kind: str, before: str, after: str) -> bool:
        self._names[kind, before].add(after)
        return bool(after) and len(self._names[kind, before]) == 1


def _find(dataset: Dataset, path: tuple[str | int, ...]) -> Any:
    found: Any = dataset
    for step in path:
        if isinstance(step, int):
            found = found.value[step] if found is not None and len(found.value) > step else None
        elif found is not None:
            found = found.get(Tag(step))
    return found


def main() -> None:
    """Print the score table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "headers").mkdir()
        results["headers"] = score(studies(arguments.seed, arguments.patients), PROFILE, Path(folder) / "headers")
        if shutil.which("tesseract"):
            (Path(folder) / "text").mkdir()
            few = [made for made in studies(arguments.seed + 1, 8, burned_in=8) if made.dataset.Rows == 256]
            results["text in pixels"] = score(few, SEARCHING, Path(folder) / "text")
    if arguments.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(f"{name}: {result['percent']} % of {result['asked']} answers, {result['files_per_second']} files/s")
        for action, (passed, asked) in result["actions"].items():
            print(f"  {action:<18} {passed:>6} of {asked}")
        for failed in sorted(set(result["failed"])):
            print(f"  failed: {failed}")


if __name__ == "__main__":
    main()
