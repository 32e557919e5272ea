"""M5 and M6: after t signatures on one survivor list, silos reveal what removes exactly its masks.

For each survivor the silos reveal shares of b, for each silo of U2 that is not one, shares of k; sealed under
K("unmask"), so that the aggregator stays blind on both layers. Every revealed share is compared with its commitment; t
good ones give a secret, and it is compared with what its owner advertised. Somebody who sends wrong shares is
named and changes nothing as long as t others are right. An owner whose committed shares give another secret than it
advertised has made the round's sum unrecoverable: it is named, and the round is abandoned
(`privacy.secagg.unopenable`).

Checks no survivor list and no sum; both come before (`privacy.secagg.survivors`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.he.workers import in_order
from privacy.secagg import shares
from privacy.secagg.derive import group_key
from privacy.secagg.faults import SiloFault
from privacy.secagg.held_shares import RevealedShares
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.round_keys import b_commitment, pair_key, pair_seed, self_key
from privacy.secagg.share_set import ShareSet, open_seed
from privacy.secagg.shares import SHARE_BYTES, Kind
from privacy.wire import bodies
from privacy.wire.messages import Unmask

NONCE_BYTES = 12
WORTH_A_FORK = 16
"""From so many secrets on (0.13 s) workers gain more than their forks cost."""


@dataclass(frozen=True)
class Recovered:
    """The masks that are left in the sum (to be subtracted), and who sent what was not usable: code by roster index."""

    keys: MaskKeys
    faults: Mapping[int, str]


def build(place: Place, group_secret: bytes, survivors_hash: bytes, revealed: RevealedShares) -> Unmask:
    """What this silo signs and sends, after it signed this very survivor list and stored `revealed`.

    The nonce is the silo's index: one message under K("unmask") for a silo and a context, the same bytes when resent.
    """
    sealed = _cipher(place, group_secret).encrypt(_nonce(place.silo), revealed.plaintext, survivors_hash)
    return Unmask(place.ctx, place.round_number, place.silo, survivors_hash, sealed)


def recover(
    place: Place,
    group_secret: bytes,
    share_set: ShareSet,
    survivors: Collection[int],
    survivors_hash: bytes,
    messages: Sequence[Signed],
    processes: int = 1,
) -> Recovered:
    """Open the published UnmaskSet and find the masks that are left in the sum of the survivors' uploads.

    Args:
        place: this silo's; it need not have taken part.
        group_secret: G.
        share_set: the checked U2.
        survivors: roster indices of U3, of the list whose digest is `survivors_hash`.
        survivors_hash: H(S), with at least t valid signatures.
        messages: signed `Unmask` messages, one a silo at most.
        processes: workers at most.

    Raises:
        CollegiumError: a signature or signer is not what was claimed.
        ProtocolError: `round.set_order`: a silo stands twice; `unmask.too_few`: fewer than t good shares of a secret,
            as SiloFault of a silo that sent unusable ones, if any did.
        SiloFault: `share.inconsistent` or `share.unsealable`: an owner made its own secret unrecoverable.
        WorkerFailed: a worker failed.
        ValueError: the survivors are not within U2.
    """
    if not set(survivors) <= set(share_set.members):
        raise ValueError("survivors are some of the silos that shared")
    alive = [owner for owner in share_set.members if owner in survivors]
    dropped = [owner for owner in share_set.members if owner not in survivors]
    wanted = [(Kind.B, owner) for owner in alive] + [(Kind.K, owner) for owner in dropped]
    good: dict[tuple[Kind, int], dict[int, bytes]] = {want: {} for want in wanted}
    faults: dict[int, str] = {}
    for holder, message in _opened(place, messages):
        try:
            revealed = _unsealed(place, group_secret, share_set, survivors_hash, holder, message)
            for (kind, owner), share in zip(wanted, revealed, strict=True):
                committed = share_set.commitment(kind, owner, holder)
                shares.check(committed, place.ctx, kind, owner, holder, share, sender=holder)
                good[kind, owner][holder] = share
        except ProtocolError as error:
            faults[holder] = error.code
    combined = _combined(list(good.values()), place.roster.threshold, processes, faults)
    secrets = {}
    for (kind, owner), secret in zip(wanted, combined, strict=True):
        _check_secret(place, share_set, kind, owner, secret)
        secrets[owner] = secret
    plus = [self_key(secrets[owner], place.ctx, owner) for owner in alive]
    minus: list[bytes] = []
    for owner in dropped:
        key = HybridKey(secrets[owner])
        for peer in alive:
            received = open_seed(key, share_set.box(peer, owner).box_s, place.ctx, peer, owner)
            sent = pair_seed(secrets[owner], place.ctx, peer)
            # The sign it has in the upload of `peer`.
            (plus if peer < owner else minus).append(pair_key(share_set.digest, owner, peer, sent, received))
    return Recovered(MaskKeys(tuple(plus), tuple(minus)), faults)


def _opened(place: Place, messages: Sequence[Signed]) -> list[tuple[int, Unmask]]:
    opened: dict[int, Unmask] = {}
    for message in messages:
        index = place.roster.index(message.signer)
        if index in opened:
            raise ProtocolError("the aggregator published two unmask messages of a silo", code="round.set_order")
        opened[index] = bodies.open_signed(message, Unmask, bytes.fromhex(place.roster.silos[index - 1].identity))
    return sorted(opened.items())


def _unsealed(
    place: Place, group_secret: bytes, share_set: ShareSet, survivors_hash: bytes, holder: int, message: Unmask
) -> list[bytes]:
    """The shares in a message that its signer made for these survivors, one for each of U2."""
    own = (place.ctx, place.round_number, holder)
    if (message.ctx, message.round_number, message.silo_index) != own or holder not in share_set.members:
        raise ProtocolError("an unmask message is of another round", code="unmask.other_round")
    if message.survivors_hash != survivors_hash:
        raise ProtocolError("an unmask message is for another survivor list", code="unmask.other_survivors")
    try:
        plaintext = _cipher(place, group_secret).decrypt(_nonce(holder), message.sealed, survivors_hash)
    except InvalidTag as error:
        raise ProtocolError("an unmask message cannot be opened", code="unmask.unsealable") from error
    if len(plaintext) != len(share_set.members) * SHARE_BYTES:
        raise ProtocolError("an unmask message has not one share of each silo", code="share.wrong")
    return [plaintext[at : at + SHARE_BYTES] for at in range(0, len(plaintext), SHARE_BYTES)]


def _combined(
    good: Sequence[Mapping[int, bytes]], threshold: int, processes: int, faults: Collection[int]
) -> list[bytes]:
    """The secrets of so many sets of good shares. Forked: pycryptodome's arithmetic is Python's, t^2 steps a secret."""
    fewest = min(map(len, good))
    if fewest < threshold:
        sentence = f"{fewest} usable shares came where {threshold} are needed; the round is given up"
        if faults:
            raise SiloFault(sentence, code="unmask.too_few", silo=min(faults))
        raise ProtocolError(sentence, code="unmask.too_few")
    workers = processes if len(good) >= WORTH_A_FORK else 1
    results = in_order(lambda index: shares.combine(good[index], threshold), len(good), SHARE_BYTES, workers)
    return [result.tobytes() for result in results]


def _check_secret(place: Place, share_set: ShareSet, kind: Kind, owner: int, secret: bytes) -> None:
    """Check that a recovered secret is the one its owner advertised. Raises SiloFault."""
    advertised = share_set.advertise_set.of(owner)
    if kind is Kind.B:
        right = b_commitment(place.ctx, owner, secret) == advertised.b_commit
    else:
        right = HybridKey(secret).public_key == advertised.pk_s
    if not right:
        raise SiloFault(
            "a silo's shares do not give the secret it advertised; the round is given up",
            code="share.inconsistent",
            silo=owner,
        )


def _cipher(place: Place, group_secret: bytes) -> AESGCM:
    return AESGCM(group_key(group_secret, place.ctx, "unmask"))


def _nonce(silo: int) -> bytes:
    return silo.to_bytes(NONCE_BYTES, "big")
