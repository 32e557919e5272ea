"""The clients under test, for an archive of these tests, and what they ask."""

from pathlib import Path

from imaging.sources.archive import DicomWeb, Dimse
from imaging.sources.dicomweb import DicomWebArchive
from imaging.sources.dimse import DimseArchive
from imaging.sources.query import Query

PLAIN = {"format": "collegium-query/1", "modalities": ("MR",), "sop_classes": ("MRImageStorage",)}
LARGE = 2**30
MOVE = {"retrieve": "move", "move_host": "127.0.0.1", "move_port": 11113}


def web(server, base=Path(), **more):
    return DicomWebArchive(DicomWeb(url=f"{server.url}/dicom-web", unencrypted=True, **more), base, LARGE)


def dimse(server, base=Path(), **more):
    named = {"host": "127.0.0.1", "port": server.port, "called_ae": server.title, "calling_ae": "SILO"}
    return DimseArchive(Dimse(**{**named, "unencrypted": True, **more}), base)


def query(**more):
    return Query(**PLAIN, **more)
