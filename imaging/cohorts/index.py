"""The layout of a cohort's folder, the canonical bytes of its index, and the digest that stands for the whole cohort.

    index.sealed          canonical JSON: patients with split and images (file, digest, label), counts
    index.sha256          the cohort's digest, hex
    images/<name>.sealed  one image each, with its mask
    quarantine.json       code and pseudonymous name of every file that was not used
    quarantine-paths.csv  the same with the path below the source, for this hospital's eyes only

with mode 0600 in a folder of mode 0700. What is sealed opens under the site's key alone. The digest covers the index in
clear and through it every image in clear: equal images, labels and names give equal digests, under any key.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = "collegium-cohort/2"
INDEX = "index.sealed"
DIGEST = "index.sha256"
IMAGES = "images"
SUFFIX = ".sealed"
QUARANTINE = "quarantine.json"
QUARANTINE_PATHS = "quarantine-paths.csv"
INDEX_PURPOSE = b"cohort-index"
IMAGE_PURPOSE = b"cohort-image"
_CONTEXT = b"collegium/v2/cohort\x00"


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(index: bytes) -> str:
    """The digest of a cohort whose index has these bytes, hex."""
    return hashlib.sha256(_CONTEXT + index).hexdigest()
