"""How the body of each signed message looks in protobuf: a table of both ways.

Values refuse what is out of range when they are made; bytes are bounded and parsed before they come here, and
signatures are `bodies`' business.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from privacy.wire import collegium_pb2 as pb
from privacy.wire.heads import CosignedHead, HeadAnswer
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
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
from privacy.wire.parsing import signed_from, signed_to
from privacy.wire.snapshots import SnapshotOffer, SnapshotRequest


def _heads_to(heads: Iterable[LedgerHead]) -> list[pb.LedgerHead]:
    return [pb.LedgerHead(silo=head.silo, size=head.size, root=head.root) for head in heads]


def _heads_from(wire: Iterable[Any]) -> tuple[LedgerHead, ...]:
    return tuple(LedgerHead(head.silo, head.size, head.root) for head in wire)


FORMS: dict[type[Any], tuple[Callable[[Any], Any], type[Message], Callable[[Any], Any]]] = {
    KeyRequest: (
        lambda m: pb.KeyRequest(study_digest=m.study_digest, epoch=m.epoch, silo=m.silo_index, public_key=m.public_key),
        pb.KeyRequest,
        lambda w: KeyRequest(w.study_digest, w.epoch, w.silo, w.public_key),
    ),
    KeyAnnounce: (
        lambda m: pb.KeyAnnounce(
            study_digest=m.study_digest, epoch=m.epoch, roster_digest=m.roster_digest, key_id=m.key_id
        ),
        pb.KeyAnnounce,
        lambda w: KeyAnnounce(w.study_digest, w.epoch, w.roster_digest, w.key_id),
    ),
    KeyGrant: (
        lambda m: pb.KeyGrant(
            announce=signed_to(m.announce),
            giver=m.giver,
            receiver=m.receiver,
            request_hash=m.request_hash,
            enc=m.enc,
        ),
        pb.KeyGrant,
        lambda w: KeyGrant(signed_from(w.announce), w.giver, w.receiver, w.request_hash, w.enc),
    ),
    Advertise: (
        lambda m: pb.Advertise(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            pk_c=m.pk_c,
            pk_s=m.pk_s,
            b_commit=m.b_commit,
            heads=_heads_to(m.heads),
        ),
        pb.Advertise,
        lambda w: Advertise(w.ctx, w.round, w.silo, w.pk_c, w.pk_s, w.b_commit, _heads_from(w.heads)),
    ),
    Shares: (
        lambda m: pb.Shares(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            advertise_set=m.advertise_set,
            boxes=[
                pb.ShareBox(
                    receiver=box.receiver,
                    box_c=box.box_c,
                    box_s=box.box_s,
                    commit_b=box.commit_b,
                    commit_k=box.commit_k,
                )
                for box in m.boxes
            ],
        ),
        pb.Shares,
        lambda w: Shares(
            w.ctx,
            w.round,
            w.silo,
            w.advertise_set,
            tuple(ShareBox(box.receiver, box.box_c, box.box_s, box.commit_b, box.commit_k) for box in w.boxes),
        ),
    ),
    UploadHeader: (
        lambda m: pb.UploadHeader(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            share_set=m.share_set,
            frame_bytes=m.frame_bytes,
            frame_sha256=m.frame_sha256,
            seeds_sha256=m.seeds_sha256,
            tag=m.tag,
        ),
        pb.UploadHeader,
        lambda w: UploadHeader(
            w.ctx,
            w.round,
            w.silo,
            tuple(w.frame_bytes),
            tuple(w.frame_sha256),
            w.seeds_sha256,
            w.share_set,
            w.tag,
        ),
    ),
    Survivors: (
        lambda m: pb.Survivors(
            ctx=m.ctx,
            round=m.round_number,
            share_set=m.share_set,
            survivors=[pb.Survivor(silo=index, header_hash=digest) for index, digest in m.members],
            sum_frame_bytes=m.sum_frame_bytes,
            sum_frame_sha256=m.sum_frame_sha256,
        ),
        pb.Survivors,
        lambda w: Survivors(
            w.ctx,
            w.round,
            tuple((member.silo, member.header_hash) for member in w.survivors),
            tuple(w.sum_frame_bytes),
            tuple(w.sum_frame_sha256),
            w.share_set,
        ),
    ),
    Sign: (
        lambda m: pb.Sign(ctx=m.ctx, round=m.round_number, survivors_hash=m.survivors_hash),
        pb.Sign,
        lambda w: Sign(w.ctx, w.round, w.survivors_hash),
    ),
    Reject: (
        lambda m: pb.Reject(ctx=m.ctx, round=m.round_number, survivors_hash=m.survivors_hash, code=m.code),
        pb.Reject,
        lambda w: Reject(w.ctx, w.round, w.survivors_hash, w.code),
    ),
    Unmask: (
        lambda m: pb.Unmask(
            ctx=m.ctx, round=m.round_number, silo=m.silo_index, survivors_hash=m.survivors_hash, sealed=m.sealed
        ),
        pb.Unmask,
        lambda w: Unmask(w.ctx, w.round, w.silo, w.survivors_hash, w.sealed),
    ),
    Close: (
        lambda m: pb.Close(
            ctx=m.ctx,
            round=m.round_number,
            survivors_hash=m.survivors_hash,
            chain=m.chain,
            sum_mac=m.sum_mac,
            ledger_size=m.ledger_size,
            ledger_root=m.ledger_root,
            state_mac=m.state_mac,
            witnessed=_heads_to(m.witnessed),
        ),
        pb.Close,
        lambda w: Close(
            w.ctx,
            w.round,
            w.survivors_hash,
            w.chain,
            w.sum_mac,
            w.state_mac,
            w.ledger_size,
            w.ledger_root,
            _heads_from(w.witnessed),
        ),
    ),
    Unopenable: (
        lambda m: pb.Unopenable(
            ctx=m.ctx,
            round=m.round_number,
            survivors_hash=m.survivors_hash,
            unmask_set=m.unmask_set,
            culprit=m.culprit,
            code=m.code,
        ),
        pb.Unopenable,
        lambda w: Unopenable(w.ctx, w.round, w.survivors_hash, w.unmask_set, w.culprit, w.code),
    ),
    Abandon: (
        lambda m: pb.Abandon(study_digest=m.study_digest, round=m.round_number, reason=m.reason),
        pb.Abandon,
        lambda w: Abandon(w.study_digest, w.round, w.reason),
    ),
    SnapshotRequest: (
        lambda m: pb.SnapshotRequest(study_digest=m.study_digest, silo=m.silo_index, least_round=m.least_round),
        pb.SnapshotRequest,
        lambda w: SnapshotRequest(w.study_digest, w.silo, w.least_round),
    ),
    SnapshotOffer: (
        lambda m: pb.SnapshotOffer(
            ctx=m.ctx,
            round=m.round_number,
            silo=m.silo_index,
            chain=m.chain,
            state_mac=m.state_mac,
            size=m.size,
            frame_sha256=m.frame_sha256,
        ),
        pb.SnapshotOffer,
        lambda w: SnapshotOffer(w.ctx, w.round, w.silo, w.chain, w.state_mac, w.size, tuple(w.frame_sha256)),
    ),
    HeadAnswer: (
        lambda m: pb.HeadAnswer(
            study_digest=m.study_digest,
            nonce=m.nonce,
            silo=m.silo_index,
            close=None if m.close is None else signed_to(m.close),
            advertise=None if m.advertise is None else signed_to(m.advertise),
            others=[signed_to(message) for message in m.others],
            cosigned=[pb.CosignedHead(silo=c.party, note=c.note, cosigner=c.cosigner) for c in m.cosigned],
            announce=None if m.announce is None else signed_to(m.announce),
        ),
        pb.HeadAnswer,
        lambda w: HeadAnswer(
            w.study_digest,
            w.nonce,
            w.silo,
            signed_from(w.close) if w.HasField("close") else None,
            signed_from(w.advertise) if w.HasField("advertise") else None,
            tuple(signed_from(message) for message in w.others),
            tuple(CosignedHead(c.silo, c.note, c.cosigner) for c in w.cosigned),
            signed_from(w.announce) if w.HasField("announce") else None,
        ),
    ),
}
"""By kind of body: to protobuf, the type there, and back."""
