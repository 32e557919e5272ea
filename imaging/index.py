"""The index of a cohort: its layout, its canonical bytes and the digest that stands for the whole cohort.

A cohort's folder holds

    index.json            canonical JSON: patients with label, split and images (file, SHA-256), counts
    index.sha256          the cohort's digest, hex
    images/<hash>.npy     one array an image, without pickle
    quarantine.json       code and pseudonymous id of every file that was not used
    quarantine-paths.csv  the same with the path below the source folder, for this hospital's eyes only

with mode 0600 in a folder of mode 0700. The digest covers the index and through it every image.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = "collegium-cohort/1"
INDEX = "index.json"
DIGEST = "index.sha256"
IMAGES = "images"
QUARANTINE = "quarantine.json"
QUARANTINE_PATHS = "quarantine-paths.csv"
_CONTEXT = b"collegium/v1/cohort\x00"


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(index: bytes) -> str:
    """The digest of a cohort whose index has these bytes, hex."""
    return hashlib.sha256(_CONTEXT + index).hexdigest()
