"""What a silo checks of M4 before it signs: whose uploads the aggregator says are in the sum.

Pure: signed bytes in, a checked value or a typed error out. Nothing is decrypted here. Every refusal of
a list or a sum has the one code `sum.refused`, whatever failed, so that answers tell an attacker
nothing (Reject carries no more). The linear MAC over the ciphertext and the spot audit belong here
and come with the masks; until then an aggregator could alter the sum undetected by this check.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.errors import CollegiumError, ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.study import Study
from privacy.wire import convert
from privacy.wire.messages import Sign, Survivors, UploadHeader

REFUSED = "sum.refused"


@dataclass(frozen=True)
class CheckedSurvivors:
    """A survivor list that is in order: members' roster indices, their seeds, and H(S)."""

    survivors: Survivors
    survivors_hash: bytes
    seeds: tuple[bytes, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Roster indices in the sum, ascending."""
        return tuple(index for index, _ in self.survivors.members)


@dataclass(frozen=True)
class VerifiedSum:
    """The frames that the survivors list describes; the only thing that is ever opened."""

    checked: CheckedSurvivors
    frames: tuple[bytes, ...]


def check_survivors(
    messages: Sequence[Signed],
    seeds: Sequence[bytes],
    *,
    study: Study,
    params: CiphertextParams,
    length: int,
    ctx: bytes,
) -> CheckedSurvivors:
    """Check the aggregator's signed list, every survivor's signed header and all seeds.

    Args:
        messages: the board at SURVIVORS: the list first, then the headers, ascending.
        seeds: each survivor's seeds, in the same order.
        length: integers in an upload.
        ctx: this silo's own context of the round.

    Raises:
        ProtocolError: `sum.refused`.
    """
    try:
        if not messages:
            raise ProtocolError("the survivor list is missing")
        aggregator = bytes.fromhex(study.roster.aggregator.identity)
        survivors = convert.open_signed(messages[0], Survivors, aggregator)
        members = survivors.members
        headers = messages[1 : 1 + len(members)]
        if survivors.ctx != ctx or len(members) < study.roster.threshold or members[-1][0] > len(study.roster.silos):
            raise ProtocolError("the survivor list is for another context or too short")
        if len(headers) != len(members) or len(seeds) != len(members):
            raise ProtocolError("a survivor's header or seeds are missing")
        for (index, header_hash), message, seed in zip(members, headers, seeds, strict=True):
            _check_header(index, header_hash, message, seed, study, survivors)
            frames.check_seeds(seed, length, params)
        if survivors.sum_frame_bytes != params.frame_sizes(length):
            raise ProtocolError("the sum has another shape than an upload")
    except CollegiumError as error:
        raise _refusal() from error
    return CheckedSurvivors(survivors, protocol_hash("survivors", messages[0].body), tuple(seeds))


def check_sum(checked: CheckedSurvivors, sum_frames: Sequence[bytes]) -> VerifiedSum:
    """Check the downloaded frames against the signed list.

    Raises:
        ProtocolError: `sum.refused`.
    """
    digests = tuple(hashlib.sha256(frame).digest() for frame in sum_frames)
    if digests != checked.survivors.sum_frame_sha256:
        raise _refusal()
    return VerifiedSum(checked, tuple(sum_frames))


def check_signs(messages: Sequence[Signed], study: Study, checked: CheckedSurvivors) -> None:
    """Check that at least t survivors signed this very list, which allows opening the sum.

    Raises:
        ProtocolError: `sum.refused`.
    """
    signers: set[int] = set()
    for message in messages:
        if message.kind != convert.kind_of(Sign):
            continue
        try:
            index = study.roster.index(message.signer)
            sign = convert.open_signed(message, Sign, bytes.fromhex(study.roster.silos[index - 1].identity))
        except CollegiumError as error:
            raise _refusal() from error
        if sign.survivors_hash == checked.survivors_hash and index in checked.members:
            signers.add(index)
    if len(signers) < study.roster.threshold:
        raise _refusal()


def _check_header(
    index: int, header_hash: bytes, message: Signed, seeds: bytes, study: Study, survivors: Survivors
) -> None:
    party = study.roster.silos[index - 1]
    header = convert.open_signed(message, UploadHeader, bytes.fromhex(party.identity))
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


def _refusal() -> ProtocolError:
    return ProtocolError(
        "the aggregator's sum or survivor list is not in order; the study halts here until a person looks", code=REFUSED
    )
