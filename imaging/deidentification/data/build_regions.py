"""Write `device_regions.json`: where devices burn text into their images.

Read from the recipe `deid.dicom` of the PyPI package deid (MIT), which collects the rules of RSNA's CTP and
of Stanford. Rules without boxes, and those that name an attribute which DICOM does not have, are left out.

    pip download deid==0.4.13 --no-deps && unzip deid-0.4.13-py3-none-any.whl deid/data/deid.dicom
    python -m imaging.deidentification.data.build_regions deid/data/deid.dicom > device_regions.json
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydicom.datadict import tag_for_keyword

_TEST = re.compile(r"^(contains|equals|missing|empty) (\w+)(?: (.+))?$")
_BOX = re.compile(r"^(ctp)?coordinates (\d+), ?(\d+), ?(\d+), ?(\d+)$")


def rules(recipe: str) -> list[dict[str, object]]:
    """Rules as plain JSON values: `where` is a conjunction of alternatives, boxes are x0, y0, x1, y1."""
    found: list[dict[str, object]] = []
    for title, lines in _blocks(recipe):
        where: list[list[list[str]]] = []
        boxes, known = [], True
        for line in lines:
            box = _BOX.match(line)
            if box:
                x, y, right, below = map(int, box.groups()[1:])
                boxes.append([x, y, x + right, y + below] if box[1] else [x, y, right, below])
                continue
            tests = [_TEST.match(part.strip()) for part in line.removeprefix("+").strip().split("||")]
            parsed = [[test[1], test[2], (test[3] or "").strip()] for test in tests if test]
            known = known and len(parsed) == len(tests) and all(tag_for_keyword(test[1]) for test in parsed)
            where.append(parsed)
        if boxes and known and where:
            found.append({"name": title, "where": where, "boxes": boxes})
    return found


def _blocks(recipe: str) -> Iterator[tuple[str, list[str]]]:
    for block in re.split(r"^LABEL ", recipe, flags=re.MULTILINE)[1:]:
        first, *lines = block.splitlines()
        end = next((at for at, line in enumerate(lines) if line.startswith("%")), len(lines))
        kept = [line.split("#")[0].strip() for line in lines[:end]]
        yield first.split("#")[0].strip(), [line for line in kept if line]


if __name__ == "__main__":
    found = rules(Path(sys.argv[1]).read_text("utf-8"))
    data = {
        "title": "Where devices burn text into their images",
        "source": "recipe deid.dicom of deid 0.4.13, from RSNA CTP and Stanford",
        "licence": "deid: MIT, Copyright 2016-2022 Vanessa Sochat",
        "rules": found,
    }
    lines = ",\n".join("  " + json.dumps(rule) for rule in found)
    head = json.dumps({key: value for key, value in data.items() if key != "rules"}, indent=1)[:-2]
    sys.stdout.write(f'{head},\n "rules": [\n{lines}\n ]\n}}\n')
