"""From files to volumes and images whose geometry and values are right, or to a named rejection.

Nothing is silently made up: what a reader would have to guess (tilt, gaps, mixed series, colours) is
rejected with a code. Nothing here de-identifies.
"""

from imaging.volumes.manifest import PIPELINE, Manifest
from imaging.volumes.reading import decode, read
from imaging.volumes.rejection import ImageRejected, Rejected, Rejection
from imaging.volumes.scanning import Scan, SourceStack, scan
from imaging.volumes.volume import PlanePosition, Reading, SourceVolume, Volume

__all__ = [
    "PIPELINE",
    "ImageRejected",
    "Manifest",
    "PlanePosition",
    "Reading",
    "Rejected",
    "Rejection",
    "Scan",
    "SourceStack",
    "SourceVolume",
    "Volume",
    "decode",
    "read",
    "scan",
]
