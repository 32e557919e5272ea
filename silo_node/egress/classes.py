"""The classes of message that a silo sends, and what each of them says about patients.

A class is the method of the service, and for signed messages the kind that the signature covers. One that is not
listed is counted all the same, under its name, and shown as not described: the log leaves nothing out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from privacy.errors import ProtocolError
from privacy.wire import bodies

SIGNED_METHODS = frozenset({"Submit", "BeginUpload"})
"""Methods whose requests are signed messages."""
CONNECTION_CHECK = "connection-check"
"""A TLS handshake with the aggregator, after a call failed (of `run` or of doctor); no message is in it."""
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Described:
    """What a class of message is; `patients`: what in it depends on patients, empty for nothing."""

    what: str
    patients: str = ""


_ENCRYPTED = "the model update and metrics: with the study's noise, encrypted and masked"

CLASSES: Mapping[str, Described] = {
    "Upload": Described("the contribution to a round, in frames", _ENCRYPTED),
    "BeginUpload/upload-header": Described("sizes and digests of a contribution; sizes are fixed by the study"),
    "GiveSnapshotFrame": Described("the global model for a silo that lost it, sealed to that silo", "only the sum"),
    "Submit/snapshot-request": Described("asks others for the global model"),
    "Submit/snapshot-offer": Described("offers the global model to a silo that asked; digests only"),
    "Submit/key-request": Described("asks for the study's key; a public key"),
    "Submit/key-announce": Described("which key the study has; a digest"),
    "Submit/key-grant": Described("the study's key, sealed to a silo that asked"),
    "Submit/advertise": Described("public keys of a round"),
    "Submit/shares": Described("shares of this round's mask secrets, sealed to each silo"),
    "Submit/sign": Described("agrees to the list of who is in a sum"),
    "Submit/reject": Described("refuses a sum; a code"),
    "Submit/unmask": Described("shares that open the sum of the survivors, and nothing else"),
    "Submit/close": Described("digests of a closed round"),
    "Submit/unopenable": Described("says that a round cannot be opened, and why"),
    "Await": Described("asks how far a round is"),
    "DownloadSum": Described("asks for the encrypted sum of a round"),
    "DownloadUploadFrame": Described("asks for a frame of an upload, for the spot audit"),
    "DownloadSnapshot": Described("asks for the frames of a snapshot"),
    "AskHead": Described("asks what the aggregator knows of this ledger"),
    "ExchangeHeads": Described("size and root of this ledger, and cosignatures of others'"),
    "Renew": Described("asks the consortium for a new certificate; public keys and this silo's name"),
    "Begin": Described("begins a one-way line; this silo's certificate"),
    "Check": Described("asks whether the aggregator takes this silo's calls and serves; doctor alone asks"),
    CONNECTION_CHECK: Described("looks why the aggregator does not answer; a TLS handshake, and our certificate"),
}
"""Every class that this version sends."""


def class_of(method: str, request: bytes) -> str:
    """The class of a request of `/package.Service/Method`."""
    name = method.rpartition("/")[2]
    if name not in SIGNED_METHODS:
        return name
    try:
        return f"{name}/{bodies.decode_signed(request).kind[:40]}"
    except ProtocolError:
        return f"{name}/{UNREADABLE}"
