from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    KEYS_REQUESTED: _ClassVar[Phase]
    KEYS_GRANTED: _ClassVar[Phase]
    ADVERTISED: _ClassVar[Phase]
    SHARED: _ClassVar[Phase]
    UPLOADING: _ClassVar[Phase]
    SURVIVORS: _ClassVar[Phase]
    SIGNED: _ClassVar[Phase]
    UNMASKED: _ClassVar[Phase]
    CLOSED: _ClassVar[Phase]
    ABANDONED: _ClassVar[Phase]
    SNAPSHOT_REQUESTED: _ClassVar[Phase]
    SNAPSHOT_OFFERED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
KEYS_REQUESTED: Phase
KEYS_GRANTED: Phase
ADVERTISED: Phase
SHARED: Phase
UPLOADING: Phase
SURVIVORS: Phase
SIGNED: Phase
UNMASKED: Phase
CLOSED: Phase
ABANDONED: Phase
SNAPSHOT_REQUESTED: Phase
SNAPSHOT_OFFERED: Phase

class Signed(_message.Message):
    __slots__ = ("kind", "body", "signer", "signature")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    body: bytes
    signer: str
    signature: bytes
    def __init__(self, kind: _Optional[str] = ..., body: _Optional[bytes] = ..., signer: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class KeyRequest(_message.Message):
    __slots__ = ("study_digest", "epoch", "silo", "public_key")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    epoch: int
    silo: int
    public_key: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., epoch: _Optional[int] = ..., silo: _Optional[int] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class KeyAnnounce(_message.Message):
    __slots__ = ("study_digest", "epoch", "roster_digest", "key_id")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROSTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    epoch: int
    roster_digest: bytes
    key_id: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., epoch: _Optional[int] = ..., roster_digest: _Optional[bytes] = ..., key_id: _Optional[bytes] = ...) -> None: ...

class KeyGrant(_message.Message):
    __slots__ = ("announce", "giver", "receiver", "request_hash", "enc")
    ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    GIVER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    ENC_FIELD_NUMBER: _ClassVar[int]
    announce: Signed
    giver: int
    receiver: int
    request_hash: bytes
    enc: bytes
    def __init__(self, announce: _Optional[_Union[Signed, _Mapping]] = ..., giver: _Optional[int] = ..., receiver: _Optional[int] = ..., request_hash: _Optional[bytes] = ..., enc: _Optional[bytes] = ...) -> None: ...

class Advertise(_message.Message):
    __slots__ = ("ctx", "round", "silo", "pk_c", "pk_s", "b_commit", "heads")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    PK_C_FIELD_NUMBER: _ClassVar[int]
    PK_S_FIELD_NUMBER: _ClassVar[int]
    B_COMMIT_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    silo: int
    pk_c: bytes
    pk_s: bytes
    b_commit: bytes
    heads: _containers.RepeatedCompositeFieldContainer[LedgerHead]
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., pk_c: _Optional[bytes] = ..., pk_s: _Optional[bytes] = ..., b_commit: _Optional[bytes] = ..., heads: _Optional[_Iterable[_Union[LedgerHead, _Mapping]]] = ...) -> None: ...

class ShareBox(_message.Message):
    __slots__ = ("receiver", "box_c", "box_s", "commit_b", "commit_k")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    BOX_C_FIELD_NUMBER: _ClassVar[int]
    BOX_S_FIELD_NUMBER: _ClassVar[int]
    COMMIT_B_FIELD_NUMBER: _ClassVar[int]
    COMMIT_K_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    box_c: bytes
    box_s: bytes
    commit_b: bytes
    commit_k: bytes
    def __init__(self, receiver: _Optional[int] = ..., box_c: _Optional[bytes] = ..., box_s: _Optional[bytes] = ..., commit_b: _Optional[bytes] = ..., commit_k: _Optional[bytes] = ...) -> None: ...

class Shares(_message.Message):
    __slots__ = ("ctx", "round", "silo", "advertise_set", "boxes")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    ADVERTISE_SET_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    silo: int
    advertise_set: bytes
    boxes: _containers.RepeatedCompositeFieldContainer[ShareBox]
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., advertise_set: _Optional[bytes] = ..., boxes: _Optional[_Iterable[_Union[ShareBox, _Mapping]]] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("ctx", "round", "silo", "share_set", "frame_bytes", "frame_sha256", "seeds_sha256", "tag")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    SHARE_SET_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRAME_SHA256_FIELD_NUMBER: _ClassVar[int]
    SEEDS_SHA256_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    silo: int
    share_set: bytes
    frame_bytes: _containers.RepeatedScalarFieldContainer[int]
    frame_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    seeds_sha256: bytes
    tag: bytes
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., share_set: _Optional[bytes] = ..., frame_bytes: _Optional[_Iterable[int]] = ..., frame_sha256: _Optional[_Iterable[bytes]] = ..., seeds_sha256: _Optional[bytes] = ..., tag: _Optional[bytes] = ...) -> None: ...

class UploadPart(_message.Message):
    __slots__ = ("header", "seeds", "frame", "index")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    header: Signed
    seeds: bytes
    frame: bytes
    index: int
    def __init__(self, header: _Optional[_Union[Signed, _Mapping]] = ..., seeds: _Optional[bytes] = ..., frame: _Optional[bytes] = ..., index: _Optional[int] = ...) -> None: ...

class Arrived(_message.Message):
    __slots__ = ("pieces",)
    PIECES_FIELD_NUMBER: _ClassVar[int]
    pieces: int
    def __init__(self, pieces: _Optional[int] = ...) -> None: ...

class Survivor(_message.Message):
    __slots__ = ("silo", "header_hash")
    SILO_FIELD_NUMBER: _ClassVar[int]
    HEADER_HASH_FIELD_NUMBER: _ClassVar[int]
    silo: int
    header_hash: bytes
    def __init__(self, silo: _Optional[int] = ..., header_hash: _Optional[bytes] = ...) -> None: ...

class Survivors(_message.Message):
    __slots__ = ("ctx", "round", "share_set", "survivors", "sum_frame_bytes", "sum_frame_sha256")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SHARE_SET_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    SUM_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    SUM_FRAME_SHA256_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    share_set: bytes
    survivors: _containers.RepeatedCompositeFieldContainer[Survivor]
    sum_frame_bytes: _containers.RepeatedScalarFieldContainer[int]
    sum_frame_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., share_set: _Optional[bytes] = ..., survivors: _Optional[_Iterable[_Union[Survivor, _Mapping]]] = ..., sum_frame_bytes: _Optional[_Iterable[int]] = ..., sum_frame_sha256: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Sign(_message.Message):
    __slots__ = ("ctx", "round", "survivors_hash")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    survivors_hash: bytes
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., survivors_hash: _Optional[bytes] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("ctx", "round", "survivors_hash", "code")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    survivors_hash: bytes
    code: str
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., survivors_hash: _Optional[bytes] = ..., code: _Optional[str] = ...) -> None: ...

class Unmask(_message.Message):
    __slots__ = ("ctx", "round", "silo", "survivors_hash", "sealed")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    silo: int
    survivors_hash: bytes
    sealed: bytes
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., survivors_hash: _Optional[bytes] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class Close(_message.Message):
    __slots__ = ("ctx", "round", "survivors_hash", "chain", "sum_mac", "ledger_size", "ledger_root", "state_mac", "witnessed")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    SUM_MAC_FIELD_NUMBER: _ClassVar[int]
    LEDGER_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEDGER_ROOT_FIELD_NUMBER: _ClassVar[int]
    STATE_MAC_FIELD_NUMBER: _ClassVar[int]
    WITNESSED_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    survivors_hash: bytes
    chain: bytes
    sum_mac: bytes
    ledger_size: int
    ledger_root: bytes
    state_mac: bytes
    witnessed: _containers.RepeatedCompositeFieldContainer[LedgerHead]
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., survivors_hash: _Optional[bytes] = ..., chain: _Optional[bytes] = ..., sum_mac: _Optional[bytes] = ..., ledger_size: _Optional[int] = ..., ledger_root: _Optional[bytes] = ..., state_mac: _Optional[bytes] = ..., witnessed: _Optional[_Iterable[_Union[LedgerHead, _Mapping]]] = ...) -> None: ...

class LedgerHead(_message.Message):
    __slots__ = ("silo", "size", "root")
    SILO_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    silo: int
    size: int
    root: bytes
    def __init__(self, silo: _Optional[int] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ...) -> None: ...

class Unopenable(_message.Message):
    __slots__ = ("ctx", "round", "survivors_hash", "unmask_set", "culprit", "code")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_HASH_FIELD_NUMBER: _ClassVar[int]
    UNMASK_SET_FIELD_NUMBER: _ClassVar[int]
    CULPRIT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    survivors_hash: bytes
    unmask_set: bytes
    culprit: int
    code: str
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., survivors_hash: _Optional[bytes] = ..., unmask_set: _Optional[bytes] = ..., culprit: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class Abandon(_message.Message):
    __slots__ = ("study_digest", "round", "reason")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    reason: str
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("study_digest", "silo", "least_round")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    LEAST_ROUND_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    silo: int
    least_round: int
    def __init__(self, study_digest: _Optional[bytes] = ..., silo: _Optional[int] = ..., least_round: _Optional[int] = ...) -> None: ...

class SnapshotOffer(_message.Message):
    __slots__ = ("ctx", "round", "silo", "chain", "state_mac", "size", "frame_sha256")
    CTX_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    STATE_MAC_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FRAME_SHA256_FIELD_NUMBER: _ClassVar[int]
    ctx: bytes
    round: int
    silo: int
    chain: bytes
    state_mac: bytes
    size: int
    frame_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ctx: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., chain: _Optional[bytes] = ..., state_mac: _Optional[bytes] = ..., size: _Optional[int] = ..., frame_sha256: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SnapshotFrame(_message.Message):
    __slots__ = ("study_digest", "round", "frame", "data")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    frame: int
    data: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., frame: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SnapshotDownload(_message.Message):
    __slots__ = ("study_digest", "round", "first_frame")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    first_frame: int
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., first_frame: _Optional[int] = ...) -> None: ...

class HeadQuery(_message.Message):
    __slots__ = ("study_digest", "nonce")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    nonce: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class HeadAnswer(_message.Message):
    __slots__ = ("study_digest", "nonce", "silo", "close", "advertise", "others", "cosigned", "announce")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    ADVERTISE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    nonce: bytes
    silo: int
    close: Signed
    advertise: Signed
    others: _containers.RepeatedCompositeFieldContainer[Signed]
    cosigned: _containers.RepeatedCompositeFieldContainer[CosignedHead]
    announce: Signed
    def __init__(self, study_digest: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., silo: _Optional[int] = ..., close: _Optional[_Union[Signed, _Mapping]] = ..., advertise: _Optional[_Union[Signed, _Mapping]] = ..., others: _Optional[_Iterable[_Union[Signed, _Mapping]]] = ..., cosigned: _Optional[_Iterable[_Union[CosignedHead, _Mapping]]] = ..., announce: _Optional[_Union[Signed, _Mapping]] = ...) -> None: ...

class ConsistencyProof(_message.Message):
    __slots__ = ("size", "nodes")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    size: int
    nodes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, size: _Optional[int] = ..., nodes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ShownHead(_message.Message):
    __slots__ = ("silo", "note", "proof")
    SILO_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    silo: int
    note: str
    proof: ConsistencyProof
    def __init__(self, silo: _Optional[int] = ..., note: _Optional[str] = ..., proof: _Optional[_Union[ConsistencyProof, _Mapping]] = ...) -> None: ...

class CosignedHead(_message.Message):
    __slots__ = ("silo", "note", "cosigner")
    SILO_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    COSIGNER_FIELD_NUMBER: _ClassVar[int]
    silo: int
    note: str
    cosigner: bytes
    def __init__(self, silo: _Optional[int] = ..., note: _Optional[str] = ..., cosigner: _Optional[bytes] = ...) -> None: ...

class HeldHead(_message.Message):
    __slots__ = ("silo", "size")
    SILO_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    silo: int
    size: int
    def __init__(self, silo: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class HeadsGiven(_message.Message):
    __slots__ = ("study_digest", "cosigner", "note", "proofs", "cosigned", "held")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COSIGNER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    cosigner: bytes
    note: str
    proofs: _containers.RepeatedCompositeFieldContainer[ConsistencyProof]
    cosigned: _containers.RepeatedCompositeFieldContainer[CosignedHead]
    held: _containers.RepeatedCompositeFieldContainer[HeldHead]
    def __init__(self, study_digest: _Optional[bytes] = ..., cosigner: _Optional[bytes] = ..., note: _Optional[str] = ..., proofs: _Optional[_Iterable[_Union[ConsistencyProof, _Mapping]]] = ..., cosigned: _Optional[_Iterable[_Union[CosignedHead, _Mapping]]] = ..., held: _Optional[_Iterable[_Union[HeldHead, _Mapping]]] = ...) -> None: ...

class HeadsShown(_message.Message):
    __slots__ = ("heads", "cosigned", "wanted")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[ShownHead]
    cosigned: _containers.RepeatedCompositeFieldContainer[CosignedHead]
    wanted: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, heads: _Optional[_Iterable[_Union[ShownHead, _Mapping]]] = ..., cosigned: _Optional[_Iterable[_Union[CosignedHead, _Mapping]]] = ..., wanted: _Optional[_Iterable[int]] = ...) -> None: ...

class AwaitRequest(_message.Message):
    __slots__ = ("study_digest", "round", "phase", "wait_milliseconds", "attentive", "held", "held_digest")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    WAIT_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    ATTENTIVE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    HELD_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    phase: Phase
    wait_milliseconds: int
    attentive: bool
    held: int
    held_digest: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., phase: _Optional[_Union[Phase, str]] = ..., wait_milliseconds: _Optional[int] = ..., attentive: _Optional[bool] = ..., held: _Optional[int] = ..., held_digest: _Optional[bytes] = ...) -> None: ...

class Board(_message.Message):
    __slots__ = ("reached", "phase", "messages", "seeds", "wanted", "frame", "roster_statement", "first")
    REACHED_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    ROSTER_STATEMENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    reached: bool
    phase: Phase
    messages: _containers.RepeatedCompositeFieldContainer[Signed]
    seeds: _containers.RepeatedScalarFieldContainer[bytes]
    wanted: bool
    frame: int
    roster_statement: Signed
    first: int
    def __init__(self, reached: _Optional[bool] = ..., phase: _Optional[_Union[Phase, str]] = ..., messages: _Optional[_Iterable[_Union[Signed, _Mapping]]] = ..., seeds: _Optional[_Iterable[bytes]] = ..., wanted: _Optional[bool] = ..., frame: _Optional[int] = ..., roster_statement: _Optional[_Union[Signed, _Mapping]] = ..., first: _Optional[int] = ...) -> None: ...

class SumRequest(_message.Message):
    __slots__ = ("study_digest", "round", "first_frame")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    first_frame: int
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., first_frame: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class FrameRequest(_message.Message):
    __slots__ = ("study_digest", "round", "silo", "frame")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SILO_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    round: int
    silo: int
    frame: int
    def __init__(self, study_digest: _Optional[bytes] = ..., round: _Optional[int] = ..., silo: _Optional[int] = ..., frame: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("study_digest", "request")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: bytes
    request: bytes
    def __init__(self, study_digest: _Optional[bytes] = ..., request: _Optional[bytes] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("admission",)
    ADMISSION_FIELD_NUMBER: _ClassVar[int]
    admission: bytes
    def __init__(self, admission: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
