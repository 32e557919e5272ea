"""The call `ExchangeHeads` to protobuf bytes and back, as `privacy.wire.convert`, of which this is a part."""

from privacy.wire import collegium_pb2 as pb
from privacy.wire.heads import ConsistencyProof, CosignedHead, HeadsGiven, HeadsShown, HeldHead, ShownHead
from privacy.wire.parsing import MAX_BODY_BYTES, parse


def encode_given(given: HeadsGiven) -> bytes:
    """What a silo gives."""
    return pb.HeadsGiven(
        study_digest=given.study_digest,
        cosigner=given.cosigner,
        note=given.note,
        proofs=[_proof_to(proof) for proof in given.proofs],
        cosigned=[_cosigned_to(head) for head in given.cosigned],
        held=[pb.HeldHead(silo=head.party, size=head.size) for head in given.held],
    ).SerializeToString()


def decode_given(data: bytes) -> HeadsGiven:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.HeadsGiven, data, MAX_BODY_BYTES)
    return HeadsGiven(
        message.study_digest,
        message.cosigner,
        message.note,
        tuple(map(_proof, message.proofs)),
        tuple(map(_cosigned, message.cosigned)),
        tuple(HeldHead(head.silo, head.size) for head in message.held),
    )


def encode_shown(shown: HeadsShown) -> bytes:
    """What a silo is shown."""
    return pb.HeadsShown(
        heads=[
            pb.ShownHead(silo=head.party, note=head.note, proof=None if head.proof is None else _proof_to(head.proof))
            for head in shown.heads
        ],
        cosigned=[_cosigned_to(head) for head in shown.cosigned],
        wanted=shown.wanted,
    ).SerializeToString()


def decode_shown(data: bytes) -> HeadsShown:
    """Raises ProtocolError for anything malformed."""
    message = parse(pb.HeadsShown, data, MAX_BODY_BYTES)
    return HeadsShown(
        tuple(
            ShownHead(head.silo, head.note, _proof(head.proof) if head.HasField("proof") else None)
            for head in message.heads
        ),
        tuple(map(_cosigned, message.cosigned)),
        tuple(message.wanted),
    )


def _proof_to(proof: ConsistencyProof) -> pb.ConsistencyProof:
    return pb.ConsistencyProof(size=proof.size, nodes=proof.nodes)


def _proof(message: pb.ConsistencyProof) -> ConsistencyProof:
    return ConsistencyProof(message.size, tuple(message.nodes))


def _cosigned_to(head: CosignedHead) -> pb.CosignedHead:
    return pb.CosignedHead(silo=head.party, note=head.note, cosigner=head.cosigner)


def _cosigned(message: pb.CosignedHead) -> CosignedHead:
    return CosignedHead(message.silo, message.note, message.cosigner)
