"""Reads what is in a saved image: the code of the program, the wheels and the system's packages; no engine is needed.

An image is a docker archive (`podman save --format docker-archive`): a tar with `manifest.json` and a tar a layer.
Whiteouts are refused: our images are one layer on nothing, and a reader that guesses would list what is not there.
"""

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deploy.release.sbom import DebianPackage

OURS = ("aggregator", "imaging", "privacy", "silo_node")
_SITE = "site-packages"
_PACKAGES = "var/lib/dpkg/status.d"
MAX_MEMBER = 2**26


@dataclass
class Content:
    """What an image holds.

    Attributes:
        code: files of our packages by path, for instance `privacy/study.py`, without bytecode.
        distributions: name and version of each installed Python distribution, as its folder says.
        system: its Debian packages.
    """

    code: dict[str, bytes] = field(default_factory=dict)
    distributions: set[tuple[str, str]] = field(default_factory=set)
    system: set[DebianPackage] = field(default_factory=set)


def read(archive: Path) -> Content:
    """Read a saved image.

    Raises:
        ValueError: it is not a docker archive of one image, or has a whiteout.
    """
    content = Content()
    try:
        with tarfile.open(archive) as outer:
            images = json.loads(_bytes(outer, outer.getmember("manifest.json")))
            if len(images) != 1:
                raise ValueError(f"{archive.name} has {len(images)} images; save one")
            for layer in images[0]["Layers"]:
                opened = outer.extractfile(layer)
                if opened is None:
                    raise ValueError("a layer of the image is not a file")
                with tarfile.open(fileobj=opened) as inner:
                    _layer(inner, content)
    except (KeyError, TypeError, tarfile.TarError, json.JSONDecodeError) as error:
        raise ValueError(f"{archive.name} is not a docker archive of one image") from error
    return content


def code(content: Mapping[str, bytes], packages: tuple[str, ...]) -> dict[str, bytes]:
    """The files of some packages."""
    return {path: data for path, data in content.items() if path.split("/")[0] in packages}


def _layer(layer: tarfile.TarFile, content: Content) -> None:
    for member in layer:
        path = PurePosixPath(member.name.removeprefix("./"))
        if path.name.startswith(".wh."):
            raise ValueError("the image has layers that remove files of others")
        if path.parent == PurePosixPath(_PACKAGES) and member.isfile():
            content.system.add(DebianPackage.read(_bytes(layer, member).decode()))
        if _SITE in path.parts:
            below = path.parts[path.parts.index(_SITE) + 1 :]
            if len(below) > 1 and below[0] in OURS and "__pycache__" not in below and member.isfile():
                content.code["/".join(below)] = _bytes(layer, member)
            if len(below) == 2 and below[0].endswith(".dist-info") and below[1] == "METADATA":
                name, _, version = below[0].removesuffix(".dist-info").partition("-")
                content.distributions.add((name, version))


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_MEMBER:
        raise ValueError(f"{PurePosixPath(member.name).name} in the image is larger than such a file is")
    opened = archive.extractfile(member)
    if opened is None:
        raise ValueError(f"{PurePosixPath(member.name).name} in the image is not a file")
    with opened:
        return opened.read()
