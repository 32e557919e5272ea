"""Volumes that were decoded (and resampled) once, kept sealed on this site's disk.

An entry is named by what it was made from: the content digest of its source files, the version of the pipeline and
the parameters of whatever came after decoding. The name is a keyed hash, the content is sealed under that name
(`imaging.sealing`), so that an entry neither shows its source nor opens in another's place. Entries are written
once: to a file beside, flushed, renamed. What does not open is made again. One process writes at a time, the
one that holds the silo's lock; any number may read.
"""

import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from imaging import sealing
from imaging.errors import ImagingError
from imaging.volumes.manifest import PIPELINE, Manifest
from imaging.volumes.volume import Volume

Parameters: TypeAlias = Mapping[str, str | int | float | bool | list[float] | list[int] | None]
"""What a volume was made with beyond its source, as JSON."""

_SUFFIX, _PARTIAL = ".volume", ".partial"
_ALIGNMENT = 64
_DTYPES = frozenset({"uint8", "uint16", "int16", "float32"})


class CacheDamaged(ImagingError):
    """An entry of the cache does not open, or is no volume; `cache.damaged`."""

    def __init__(self) -> None:
        super().__init__("an entry of the volume cache is damaged; it is made again from its source", "cache.damaged")


class VolumeCache:
    """A folder of sealed volumes.

    Args:
        folder: made with mode 0700 if it is missing.
        key: 32 secret bytes of the site; entries of another key are other entries.

    Attributes:
        repaired: entries that did not open and were made again.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        if len(key) != sealing.KEY_BYTES:
            raise RuntimeError(f"the cache's key has {sealing.KEY_BYTES} bytes")
        self._folder, self._key = folder, key
        self._naming = hmac.digest(key, b"collegium/v1/volume-cache/name", "sha256")
        self.repaired = 0
        self._used: set[str] = set()
        folder.mkdir(mode=0o700, exist_ok=True)

    def volume(self, digest: str, parameters: Parameters, make: Callable[[], Volume]) -> Volume:
        """The volume of a source, from the cache or else made and kept.

        Args:
            digest: of the source's content (`SourceStack.digest`, or a manifest's `source_digest`).
            parameters: of whatever `make` does after decoding.
            make: decodes (and resamples); not called if the cache has the volume.

        Raises:
            ImagingError: `cache.storage`: the disk refused the entry. And what `make` raises.
        """
        try:
            found = self.get(digest, parameters)
        except CacheDamaged:
            self.repaired += 1
            found = None
        if found is not None:
            return found
        made = make()
        self.put(digest, parameters, made)
        return made

    def get(self, digest: str, parameters: Parameters) -> Volume | None:
        """The volume of a source if it is kept.

        Raises:
            CacheDamaged: its entry does not open.
        """
        name = self._name(digest, parameters)
        path = self._folder / name
        self._used.add(name)
        if not path.exists():
            return None
        try:
            content = sealing.read(path, self._key, _purpose(name))
            return _opened(content)
        except (ImagingError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise CacheDamaged from error

    def put(self, digest: str, parameters: Parameters, volume: Volume) -> None:
        """Keep a volume, in place of an entry of the same name.

        Raises:
            ImagingError: `cache.storage`.
        """
        name = self._name(digest, parameters)
        self._used.add(name)
        partial = self._folder / f"{name}.{secrets.token_hex(8)}{_PARTIAL}"
        try:
            try:
                sealing.write(partial, self._key, _purpose(name), _content(volume))
                _sync(partial)
                partial.rename(self._folder / name)
                _sync(self._folder)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise ImagingError(
                f"the disk refused an entry of the volume cache ({error.strerror}); make room", "cache.storage"
            ) from error

    def prune(self) -> int:
        """Remove every entry that was not asked for since this object was made, and what a kill left half written.

        Returns:
            How many files were removed: entries of older pipelines and of sources that went.
        """
        found = (path for path in self._folder.iterdir() if path.suffix in (_SUFFIX, _PARTIAL))
        stale = [path for path in found if path.name not in self._used]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _name(self, digest: str, parameters: Parameters) -> str:
        made_from = {"digest": digest, "pipeline": PIPELINE, "parameters": dict(parameters)}
        message = json.dumps(made_from, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        return hmac.digest(self._naming, message, "sha256").hex()[:40] + _SUFFIX


def _purpose(name: str) -> bytes:
    return b"volume-cache/" + name.encode()


def _content(volume: Volume) -> bytearray:
    """Header line of JSON, padded to 64 bytes, and the array's bytes as they lie in memory."""
    array = volume.array
    if array.dtype.name not in _DTYPES:
        raise RuntimeError("the cache keeps uint8, uint16, int16 and float32")
    order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    affine = None if volume.affine is None else volume.affine.tolist()
    header = json.dumps({"manifest": volume.manifest.canonical().decode(), "affine": affine, "order": order}).encode()
    header += b" " * (-(len(header) + 1) % _ALIGNMENT) + b"\n"
    content = bytearray(len(header) + array.nbytes)
    content[: len(header)] = header
    np.ndarray(array.shape, array.dtype, buffer=content, offset=len(header), order=order)[...] = array
    return content


def _opened(content: bytearray) -> Volume:
    start = content.index(b"\n") + 1
    header = json.loads(content[:start])
    manifest = Manifest.parse(header["manifest"].encode())
    if manifest.dtype not in _DTYPES or header["order"] not in ("C", "F"):
        raise ValueError("not a volume")
    array = np.ndarray(manifest.shape, manifest.dtype, buffer=content, offset=start, order=header["order"])
    affine = None if header["affine"] is None else np.array(header["affine"], dtype=np.float64)
    return Volume(array, affine, manifest)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
