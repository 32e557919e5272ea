"""A message that no honest party sends cannot be made."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.wire import heads, keys, messages, requests, snapshots
from privacy.wire.heads import (
    MAX_COSIGNED_BYTES,
    MAX_NOTE_BYTES,
    MAX_STATEMENT_BYTES,
    ConsistencyProof,
    CosignedHead,
    HeadAnswer,
    HeadQuery,
    HeadsGiven,
    HeadsShown,
    HeldHead,
    ShownHead,
)
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.limits import (
    BOX_C_BYTES,
    BOX_S_BYTES,
    KEM_PUBLIC_BYTES,
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    MAX_HEADS,
    MAX_SILOS,
)
from privacy.wire.messages import (
    Abandon,
    Advertise,
    Close,
    LedgerHead,
    Reject,
    ShareBox,
    Shares,
    Sign,
    Survivors,
    Unmask,
    Unopenable,
    UploadHeader,
)
from privacy.wire.requests import Arrived, AwaitRequest, Board, FrameRequest, Phase, Piece, SumRequest
from privacy.wire.snapshots import FRAME_BYTES, SnapshotDownload, SnapshotFrame, SnapshotOffer, SnapshotRequest

D = b"d" * 32
BOX = ShareBox(1, bytes(BOX_C_BYTES), bytes(BOX_S_BYTES), D, D)
PROOF, COSIGNED = ConsistencyProof(1, (D,)), CosignedHead(0, "note", b"statement")
SIGNED = Signed("sign", b"", "north", bytes(64))
VALID: list[Any] = [
    KeyRequest(D, 1, 1, bytes(1216)),
    KeyAnnounce(D, 1, D, D),
    KeyGrant(SIGNED, 1, 2, D, b"sealed"),
    UploadHeader(D, 1, 1, (10, 20), (D, D), D),
    Survivors(D, 1, ((1, D), (3, D)), (10,), (D,)),
    Sign(D, 1, D),
    Reject(D, 1, D, "sum.refused"),
    Close(D, 1, D, D, D, D, 0, D, (LedgerHead(1, 0, D), LedgerHead(2, 7, D))),
    Abandon(D, 1, "too_few_uploads"),
    AwaitRequest(D, 0, Phase.SURVIVORS, 0),
    SumRequest(D, 1),
    FrameRequest(D, 1, 1, 0),
    Advertise(D, 1, 1, bytes(KEM_PUBLIC_BYTES), bytes(KEM_PUBLIC_BYTES), D, (LedgerHead(1, 2, D), LedgerHead(1, 3, D))),
    BOX,
    Shares(D, 1, 1, D, (BOX,)),
    Unmask(D, 1, 1, D, bytes(16)),
    SnapshotRequest(D, 1, 1),
    SnapshotOffer(D, 1, 1, D, D, 2**20, (D, D)),
    SnapshotFrame(D, 1, 0, bytes(17)),
    SnapshotDownload(D, 1, 0),
    Unopenable(D, 1, D, D, 0, "unmask.too_few"),
    Piece(0, b"seeds"),
    Arrived(0),
    LedgerHead(1, 0, D),
    HeadQuery(D, D),
    HeadAnswer(D, D, 1, None, None, ()),
    PROOF,
    COSIGNED,
    ShownHead(0, "note", PROOF),
    HeldHead(0, 1),
    HeadsGiven(D, b"statement", "", (PROOF,), (COSIGNED,), (HeldHead(2, 1),)),
    HeadsShown((ShownHead(0, "note", None),), (COSIGNED,), (1, 2)),
    AwaitRequest(D, 1, Phase.SHARED, 0, held=3, held_digest=D),
    Board(True, Phase.SHARED, first=3),
]
MAY_BE_EMPTY = {("UploadHeader", "share_set"), ("Survivors", "share_set"), ("Reject", "survivors_hash")}
DIGEST_FIELDS = [
    (message, field.name)
    for message in VALID
    for field in fields(message)
    if getattr(message, field.name) == D or (type(message).__name__, field.name) in MAY_BE_EMPTY
]


@pytest.mark.parametrize(("message", "name"), DIGEST_FIELDS, ids=[f"{type(m).__name__}.{n}" for m, n in DIGEST_FIELDS])
def test_every_digest_has_32_bytes(message: Any, name: str) -> None:
    for wrong in (D[:-1], D + b"d"):
        with pytest.raises(ProtocolError):
            replace(message, **{name: wrong})
    if (type(message).__name__, name) in MAY_BE_EMPTY:
        replace(message, **{name: b""})
    else:
        with pytest.raises(ProtocolError):
            replace(message, **{name: b""})


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (VALID[0], {"silo_index": 0}),
        (VALID[0], {"silo_index": 65}),
        (VALID[0], {"public_key": bytes(1215)}),
        (VALID[2], {"giver": 0}),
        (VALID[2], {"receiver": 65}),
        (VALID[3], {"silo_index": 0}),
        (VALID[3], {"round_number": 0}),
        (VALID[3], {"round_number": 1_000_001}),
        (VALID[3], {"frame_bytes": ()}),
        (VALID[3], {"frame_bytes": (), "frame_sha256": ()}),
        (VALID[3], {"frame_bytes": (10,)}),
        (VALID[3], {"frame_bytes": (10, 0)}),
        (VALID[3], {"frame_bytes": (10, MAX_FRAME_BYTES + 1)}),
        (VALID[3], {"frame_sha256": (D, D[:-1])}),
        (VALID[3], {"frame_bytes": (1,) * (MAX_FRAMES + 1), "frame_sha256": (D,) * (MAX_FRAMES + 1)}),
        (VALID[4], {"members": ()}),
        (VALID[4], {"members": ((3, D), (1, D))}),
        (VALID[4], {"members": ((1, D), (1, D))}),
        (VALID[4], {"members": ((0, D),)}),
        (VALID[4], {"members": ((65, D),)}),
        (VALID[4], {"members": ((1, D[:-1]),)}),
        (VALID[4], {"sum_frame_sha256": (D, D)}),
        (VALID[4], {"round_number": 0}),
        (VALID[6], {"code": ""}),
        (VALID[6], {"code": "c" * 65}),
        (VALID[6], {"code": "two words"}),
        (VALID[6], {"code": "line\nbreak"}),
        (VALID[8], {"reason": ""}),
        (VALID[8], {"reason": "r" * 65}),
        (VALID[9], {"round_number": -1}),
        (VALID[9], {"round_number": 1_000_001}),
        (VALID[9], {"wait_milliseconds": 60_001}),
        (VALID[-2], {"held": -1}),
        (VALID[-2], {"held": 66}),
        (VALID[-2], {"phase": Phase.CLOSED}),
        (VALID[-1], {"first": 66}),
        (VALID[10], {"round_number": 0}),
        (VALID[16], {"least_round": 0}),
        (VALID[16], {"silo_index": 65}),
        (VALID[17], {"size": 0}),
        (VALID[17], {"size": 2**40}),
        (VALID[17], {"size": FRAME_BYTES - 16}),
        (VALID[17], {"frame_sha256": (D,)}),
        (VALID[17], {"frame_sha256": (D, D[:-1])}),
        (VALID[17], {"round_number": 0}),
        (VALID[17], {"silo_index": 0}),
        (VALID[18], {"data": bytes(FRAME_BYTES + 1)}),
        (VALID[18], {"data": bytes(16)}),
        (VALID[18], {"frame": -1}),
        (VALID[19], {"first_frame": -1}),
        (VALID[7], {"witnessed": (LedgerHead(2, 0, D), LedgerHead(1, 0, D))}),
        (VALID[7], {"witnessed": (LedgerHead(2, 0, D), LedgerHead(2, 1, D))}),
        (VALID[12], {"heads": (LedgerHead(2, 0, D), LedgerHead(1, 0, D))}),
        (VALID[12], {"heads": (LedgerHead(1, 1, D), LedgerHead(1, 1, D))}),
        (VALID[12], {"heads": tuple(LedgerHead(1, size, D) for size in range(MAX_HEADS * MAX_SILOS + 1))}),
        (LedgerHead(1, 0, D), {"silo": 0}),
        (HeadAnswer(D, D, 1, None, None, ()), {"silo_index": 65}),
        (PROOF, {"size": 0}),
        (PROOF, {"nodes": (D,) * 65}),
        (PROOF, {"nodes": (D[:-1],)}),
        (COSIGNED, {"party": 65}),
        (COSIGNED, {"note": ""}),
        (COSIGNED, {"note": "é" * (MAX_COSIGNED_BYTES // 2 + 1)}),
        (COSIGNED, {"cosigner": bytes(MAX_STATEMENT_BYTES + 1)}),
        (ShownHead(0, "note", None), {"party": -1}),
        (ShownHead(0, "note", None), {"note": "n" * (MAX_NOTE_BYTES + 1)}),
        (HeldHead(0, 1), {"size": 0}),
        (HeldHead(0, 1), {"size": 2**63}),
        (HeadsGiven(D, b"s", "", (), (), ()), {"cosigner": b""}),
        (HeadsGiven(D, b"s", "", (), (), ()), {"note": "n" * (MAX_NOTE_BYTES + 1)}),
        (HeadsGiven(D, b"s", "", (), (), ()), {"proofs": (PROOF,) * 66}),
        (HeadsGiven(D, b"s", "", (), (), ()), {"cosigned": (COSIGNED, COSIGNED)}),
        (HeadsGiven(D, b"s", "", (), (), ()), {"held": (HeldHead(1, 1), HeldHead(1, 2))}),
        (HeadsShown((), (), ()), {"wanted": (0,)}),
        (HeadsShown((), (), ()), {"wanted": (1,) * 66}),
        (HeadsShown((), (), ()), {"cosigned": (COSIGNED, COSIGNED)}),
        (Piece(0, b""), {"number": MAX_FRAMES + 1}),
        (Arrived(0), {"pieces": MAX_FRAMES + 2}),
    ],
)
def test_what_is_out_of_range_is_refused(message: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        replace(message, **changes)
    assert caught.value.code == "protocol.malformed"


def test_messages_are_frozen() -> None:
    kinds = [
        kind
        for module in (messages, keys, requests, snapshots, heads)
        for kind in vars(module).values()
        if is_dataclass(kind) and kind.__module__ == module.__name__
    ]
    assert {type(message) for message in VALID} | {Board} == set(kinds)
    assert all(kind.__dataclass_params__.frozen for kind in kinds)  # type: ignore[attr-defined]
