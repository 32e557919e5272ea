"""The list of what is inside an image: a CycloneDX 1.6 bill of materials of its wheels and its Debian packages.

Made from the wheels' own metadata and what the image says of its system packages, not from what a build was asked for.
The same wheels give the same bytes: the serial number is derived from them, the time is the commit's.
"""

import email
import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from pathlib import Path
from uuid import UUID

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class DebianPackage:
    """A system package in an image."""

    name: str
    version: str
    architecture: str

    @classmethod
    def read(cls, entry: str) -> "DebianPackage":
        """From its entry of dpkg's status. Raises ValueError when it is none."""
        fields = email.message_from_string(entry)
        if not (fields["Package"] and fields["Version"] and fields["Architecture"]):
            raise ValueError("not an entry of dpkg's status")
        return cls(fields["Package"], fields["Version"], fields["Architecture"])


def bill(image: str, version: str, at: datetime, wheels: Sequence[Path], system: Iterable[DebianPackage] = ()) -> str:
    """The bill of an image as JSON.

    Args:
        image: its name.
        version: of Collegium.
        at: time of the commit, aware.
        wheels: what is installed in it.
        system: the packages of its system.
    """
    subject = Component(name=image, version=version, type=ComponentType.CONTAINER, bom_ref=f"pkg:oci/{image}@{version}")
    parts: dict[str, tuple[Component, Message]] = {}
    for wheel in wheels:
        metadata = _metadata(wheel)
        component = _python(wheel, metadata)
        parts[canonicalize_name(component.name)] = (component, metadata)
    debian = [_debian(package) for package in sorted(set(system), key=lambda one: (one.name, one.version))]
    components = [*(component for component, _ in parts.values()), *debian]
    bom = Bom(
        components=components,
        metadata=BomMetaData(component=subject, timestamp=at),
        serial_number=_serial([str(component.purl) for component in components], wheels),
    )
    bom.register_dependency(subject, components)
    for component, metadata in parts.values():
        bom.register_dependency(component, [parts[name][0] for name in _needed(metadata, parts)])
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return email.message_from_bytes(archive.read(name))


def _python(wheel: Path, metadata: Message) -> Component:
    name, version = str(metadata["Name"]), str(metadata["Version"])
    purl = PackageURL("pypi", name=canonicalize_name(name), version=version)
    stated = metadata["License-Expression"] or metadata["License"] or ""
    licence = stated.strip().splitlines()[0][:200] if stated.strip() else ""
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=purl.to_string(),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest())],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _debian(package: DebianPackage) -> Component:
    purl = PackageURL(
        "deb", "debian", package.name, package.version, qualifiers={"arch": package.architecture, "distro": "bookworm"}
    )
    return Component(
        name=package.name, version=package.version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string()
    )


def _needed(metadata: Message, parts: Mapping[str, object]) -> list[str]:
    """Which of the parts a wheel says that it needs here, without extras: what they asked for is listed anyhow."""
    names = set()
    for line in metadata.get_all("Requires-Dist") or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # an old wheel's odd spelling; the part itself is listed whatever asks for it
        name = canonicalize_name(requirement.name)
        if name in parts and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
    return sorted(names - {canonicalize_name(str(metadata["Name"]))})


def _serial(purls: Sequence[str], wheels: Sequence[Path]) -> UUID:
    names = "\n".join([*sorted(purls), *sorted(wheel.name for wheel in wheels)])
    return UUID(bytes=hashlib.sha256(names.encode()).digest()[:16], version=4)
