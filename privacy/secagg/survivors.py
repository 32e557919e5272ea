"""What a silo checks of M4 before it signs: whose uploads the aggregator says are in the sum.

Signed bytes in, a checked value or a typed error out. Nothing is decrypted here: a sum is opened only
after its digests, the linear MAC over the ciphertext (`mac`) and the spot audit (`audit`) were in order.
Every refusal of a list or a sum has the one code `sum.refused`, whatever failed, so that answers tell an
attacker nothing (Reject carries no more). The checks of a sum also do the same work whatever failed (`findings`);
those of a list may stop early, as the aggregator can itself work out all that they compare.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.errors import CollegiumError, ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.secagg import audit
from privacy.secagg.findings import Findings, refusal
from privacy.secagg.mac import RoundMac
from privacy.secagg.masked import FrameOf, verify_sum
from privacy.secagg.share_set import ShareSet
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import Sign, Survivors, UploadHeader

UploadFrameOf = Callable[[int, int], bytes]
"""Fetches a frame of a survivor's upload, by roster index and frame; empty if it is not served."""


@dataclass(frozen=True)
class CheckedSurvivors:
    """A survivor list that is in order: members' roster indices, their seeds, and H(S)."""

    survivors: Survivors
    survivors_hash: bytes
    seeds: tuple[bytes, ...]
    headers: tuple[UploadHeader, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Roster indices in the sum, ascending."""
        return tuple(index for index, _ in self.survivors.members)

    @property
    def tags(self) -> dict[int, bytes]:
        """The MAC tag of each member, from its signed header."""
        return {header.silo_index: header.tag for header in self.headers}

    def frame_digests(self, frame: int) -> dict[int, bytes]:
        """SHA-256 that each member signed for one frame of its upload."""
        return {header.silo_index: header.frame_sha256[frame] for header in self.headers}


@dataclass(frozen=True)
class VerifiedSum:
    """A sum that its digests, the MAC and the audit vouch for; the only thing that is ever opened."""

    checked: CheckedSurvivors
    frame_of: FrameOf


def check_survivors(
    messages: Sequence[Signed],
    seeds: Sequence[bytes],
    *,
    study: Study,
    params: CiphertextParams,
    length: int,
    ctx: bytes,
    share_set: ShareSet,
) -> CheckedSurvivors:
    """Check the aggregator's signed list, every survivor's signed header and all seeds.

    Args:
        messages: the board at SURVIVORS: the list first, then the headers, ascending.
        seeds: each survivor's seeds, in the same order.
        length: integers in an upload.
        ctx: this silo's own context of the round.
        share_set: U2, as this silo checked it.

    Raises:
        ProtocolError: `sum.refused`.
    """
    try:
        if not messages:
            raise ProtocolError("the survivor list is missing")
        aggregator = bytes.fromhex(study.roster.aggregator.identity)
        survivors = bodies.open_signed(messages[0], Survivors, aggregator)
        members = survivors.members
        headers = messages[1 : 1 + len(members)]
        if (survivors.ctx, survivors.share_set) != (ctx, share_set.digest) or len(members) < study.roster.threshold:
            raise ProtocolError("the survivor list is for another context or too short")
        if not {index for index, _ in members} <= set(share_set.members):
            raise ProtocolError("the survivor list names a silo that shared no keys")
        if len(headers) != len(members) or len(seeds) != len(members):
            raise ProtocolError("a survivor's header or seeds are missing")
        opened = []
        for (index, header_hash), message, seed in zip(members, headers, seeds, strict=True):
            opened.append(_check_header(index, header_hash, message, seed, study, survivors))
            frames.check_seeds(seed, length, params)
        if survivors.sum_frame_bytes != params.frame_sizes(length):
            raise ProtocolError("the sum has another shape than an upload")
    except CollegiumError as error:
        raise refusal() from error
    return CheckedSurvivors(survivors, protocol_hash("survivors", messages[0].body), tuple(seeds), tuple(opened))


def check_sum(
    checked: CheckedSurvivors,
    frame_of: FrameOf,
    upload_frame_of: UploadFrameOf,
    audited: Sequence[int],
    mac: RoundMac,
    params: CiphertextParams,
    length: int,
    processes: int,
) -> VerifiedSum:
    """Check the sum's frames against the signed list, the survivors' tags and some of their frames; then answer once.

    Args:
        checked: the list.
        frame_of: gives a downloaded frame by index.
        upload_frame_of: fetches a frame of an upload. What it raises is not noted but passed on.
        audited: the frames to audit, which the aggregator could not foresee.
        mac: the round's MAC.
        params: the study's ciphertext parameters.
        length: integers in an upload.
        processes: workers at most.

    Raises:
        ProtocolError: `sum.refused`.
    """
    findings = Findings()
    with findings.noting():
        verify_sum(frame_of, checked.survivors.sum_frame_sha256, checked.tags, mac, params, length, processes)
    for frame in audited:
        uploaded = {index: upload_frame_of(index, frame) for index in checked.members}
        with findings.noting():
            audit.check(frame, uploaded, checked.frame_digests(frame), frame_of(frame), params, length)
    findings.settle()
    return VerifiedSum(checked, frame_of)


def check_signs(messages: Sequence[Signed], study: Study, checked: CheckedSurvivors) -> None:
    """Check that at least t survivors signed this very list, which allows opening the sum.

    Raises:
        ProtocolError: `sum.refused`.
    """
    signers: set[int] = set()
    for message in messages:
        if message.kind != bodies.kind_of(Sign):
            continue
        try:
            index = study.roster.index(message.signer)
            sign = bodies.open_signed(message, Sign, bytes.fromhex(study.roster.silos[index - 1].identity))
        except CollegiumError as error:
            raise refusal() from error
        if sign.survivors_hash == checked.survivors_hash and index in checked.members:
            signers.add(index)
    if len(signers) < study.roster.threshold:
        raise refusal()


def _check_header(
    index: int, header_hash: bytes, message: Signed, seeds: bytes, study: Study, survivors: Survivors
) -> UploadHeader:
    party = study.roster.silos[index - 1]
    header = bodies.open_signed(message, UploadHeader, bytes.fromhex(party.identity))
    same = (header.silo_index, header.ctx, header.round_number, header.share_set) == (
        index,
        survivors.ctx,
        survivors.round_number,
        survivors.share_set,
    )
    if not same or message.signer != party.name or protocol_hash("header", message.body) != header_hash:
        raise ProtocolError("a survivor's header is not the one in the list")
    if hashlib.sha256(seeds).digest() != header.seeds_sha256:
        raise ProtocolError("a survivor's seeds are not those of its header")
    return header
