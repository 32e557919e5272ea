"""Every field that travels is one that somebody looked at, and none can hold a weight in clear."""

import typing

from google.protobuf.descriptor import FieldDescriptor

from privacy.wire import bodies
from privacy.wire import collegium_pb2 as pb
from privacy.wire.messages import UploadHeader
from privacy.wire.requests import Phase

KINDS: tuple[type[typing.Any], ...] = typing.get_args(bodies.Body)

WIRE = {
    "Signed": ["kind", "body", "signer", "signature"],
    "KeyRequest": ["study_digest", "epoch", "silo", "public_key"],
    "KeyAnnounce": ["study_digest", "epoch", "roster_digest", "key_id"],
    "KeyGrant": ["announce", "giver", "receiver", "request_hash", "enc"],
    "Advertise": ["ctx", "round", "silo", "pk_c", "pk_s", "b_commit", "heads"],
    "ShareBox": ["receiver", "box_c", "box_s", "commit_b", "commit_k"],
    "Shares": ["ctx", "round", "silo", "advertise_set", "boxes"],
    "UploadHeader": ["ctx", "round", "silo", "share_set", "frame_bytes", "frame_sha256", "seeds_sha256", "tag"],
    "UploadPart": ["header", "seeds", "frame", "index"],
    "Arrived": ["pieces"],
    "Survivor": ["silo", "header_hash"],
    "Survivors": ["ctx", "round", "share_set", "survivors", "sum_frame_bytes", "sum_frame_sha256"],
    "Sign": ["ctx", "round", "survivors_hash"],
    "Reject": ["ctx", "round", "survivors_hash", "code"],
    "Unmask": ["ctx", "round", "silo", "survivors_hash", "sealed"],
    "Close": [
        "ctx",
        "round",
        "survivors_hash",
        "chain",
        "sum_mac",
        "ledger_size",
        "ledger_root",
        "state_mac",
        "witnessed",
    ],
    "LedgerHead": ["silo", "size", "root"],
    "HeadQuery": ["study_digest", "nonce"],
    "HeadAnswer": ["study_digest", "nonce", "silo", "close", "advertise", "others", "cosigned", "announce"],
    "ConsistencyProof": ["size", "nodes"],
    "ShownHead": ["silo", "note", "proof"],
    "CosignedHead": ["silo", "note", "cosigner"],
    "HeldHead": ["silo", "size"],
    "HeadsGiven": ["study_digest", "cosigner", "note", "proofs", "cosigned", "held"],
    "HeadsShown": ["heads", "cosigned", "wanted"],
    "RenewRequest": ["study_digest", "request"],
    "Renewed": ["admission"],
    "Unopenable": ["ctx", "round", "survivors_hash", "unmask_set", "culprit", "code"],
    "Abandon": ["study_digest", "round", "reason"],
    "SnapshotRequest": ["study_digest", "silo", "least_round"],
    "SnapshotOffer": ["ctx", "round", "silo", "chain", "state_mac", "size", "frame_sha256"],
    "SnapshotFrame": ["study_digest", "round", "frame", "data"],
    "SnapshotDownload": ["study_digest", "round", "first_frame"],
    "AwaitRequest": ["study_digest", "round", "phase", "wait_milliseconds", "attentive", "held", "held_digest"],
    "Board": ["reached", "phase", "messages", "seeds", "wanted", "frame", "roster_statement", "first"],
    "SumRequest": ["study_digest", "round", "first_frame"],
    "FrameRequest": ["study_digest", "round", "silo", "frame"],
    "Frame": ["data"],
    "Receipt": [],
}
"""Every field that travels. Before one is added here: can it hold a key, an update, a weight or a metric in clear?"""


def test_no_field_is_on_the_wire_that_nobody_looked_at() -> None:
    present = {
        name: [field.name for field in message.fields] for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert present == WIRE


def test_no_field_is_a_float() -> None:
    floats = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
    fields = [field for message in pb.DESCRIPTOR.message_types_by_name.values() for field in message.fields]
    assert not [field.full_name for field in fields if field.cpp_type in floats]


def test_phases_have_the_numbers_of_the_wire() -> None:
    assert {phase.name: phase.value for phase in Phase} == {name: number for name, number in pb.Phase.items() if number}


def test_every_kind_of_message_has_its_own_name() -> None:
    names = [bodies.kind_of(kind) for kind in KINDS]
    assert len(set(names)) == len(names) == 16
    assert bodies.kind_of(UploadHeader) == "upload-header"
