"""What a dishonest aggregator that forgets nothing and colluding silos know of the first round, put together.

The parts are real: the aggregator's store, and what the colluders' own programs had in memory. With the masks of a
victim, or a part of them, `update` is what the coalition would read in the victim's upload.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.storage.store import RoundStore
from privacy.channel.envelope import Signed
from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.secagg import advertise, masks, share_set, unmask
from privacy.secagg.held_shares import HeldShares
from privacy.secagg.masks import MaskKeys
from privacy.secagg.place import Place
from privacy.secagg.ranges import Ranges
from privacy.secagg.round_keys import RoundSecrets, pair_key, pair_seed
from privacy.secagg.share_set import ShareSet, open_seed
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import UploadHeader
from silo_node.rounds.agent import Agent
from silo_node.rounds.round_vault import RoundVault
from tests.attacks.stage import Stage


@dataclass
class Memory:
    """What silos' programs held in each round, by silo and then by round; only colluders' entries are for use."""

    secrets: dict[int, list[RoundSecrets]] = field(default_factory=dict)
    held: dict[int, list[HeldShares]] = field(default_factory=dict)

    @classmethod
    def kept(cls, patch: pytest.MonkeyPatch) -> "Memory":
        """From now on, nothing of it is forgotten; the aggregator forgets no ciphertext either."""
        memory = cls()
        patch.setattr(RoundStore, "scrub", lambda _: None)
        keep_secrets, keep_held = RoundVault.keep_secrets, RoundVault.keep_held

        def with_secrets(vault: RoundVault, secrets: RoundSecrets) -> None:
            memory.secrets.setdefault(silo_of(vault.folder), []).append(secrets)
            keep_secrets(vault, secrets)

        def with_held(vault: RoundVault, held: HeldShares) -> None:
            memory.held.setdefault(silo_of(vault.folder), []).append(held)
            keep_held(vault, held)

        patch.setattr(RoundVault, "keep_secrets", with_secrets)
        patch.setattr(RoundVault, "keep_held", with_held)
        return memory


def silo_of(runtime: Path) -> int:
    """Whose folder of round secrets this is."""
    return int(runtime.parent.name.removeprefix("silo-"))


class Coalition:
    """The aggregator of `stage` with `colluder`, which gives the study's keys, after the first round."""

    def __init__(self, stage: Stage, colluder: Agent) -> None:
        self.store, self.study, self.colluder = stage.store(1), colluder.study, colluder
        self.params, self.group_secret = colluder._params, colluder._material.group_secret
        self.headers = {
            index: bodies.open_signed(message, UploadHeader, identity(self.study, index))
            for index, message in self.store.uploads()
        }
        self.ctx = next(iter(self.headers.values())).ctx
        self.place = self.place_of(colluder._index)
        advertised = advertise.check(self.place, self._all("advertise"), None)
        self.share_set: ShareSet = share_set.check(self.place, self._all("shares"), advertised, None)

    def place_of(self, silo: int) -> Place:
        return Place(self.study.roster, self.ctx, 1, silo)

    def unmasked(self, silo: Agent, held: HeldShares, members: Collection[int], survivors_hash: bytes) -> Signed:
        """What a colluding silo says for any list."""
        body = unmask.build(self.place_of(silo._index), self.group_secret, survivors_hash, held.reveal(members))
        return bodies.seal(body, silo.identity.member.name, silo.identity.keys.identity)

    def recovered(self, members: Collection[int], survivors_hash: bytes, messages: Sequence[Signed]) -> MaskKeys | None:
        """The masks left in the sum of a list, or None: too few shares."""
        ordered = sorted(messages, key=lambda message: self.study.roster.index(message.signer))
        try:
            return unmask.recover(self.place, self.group_secret, self.share_set, members, survivors_hash, ordered).keys
        except ProtocolError as error:
            if error.code != "unmask.too_few":
                raise
            return None

    def pair(self, victim: int, peer: int, secrets: RoundSecrets) -> bytes:
        """The key of the victim's pair mask with `peer`, from the peer's own secrets."""
        sent = open_seed(secrets.key_s, self.share_set.box(victim, peer).box_s, self.ctx, victim, peer)
        received = pair_seed(secrets.k, self.ctx, victim)
        return pair_key(self.share_set.digest, victim, peer, sent, received)

    def update(self, victim: int, keys: MaskKeys) -> NDArray[np.float64] | None:
        """The victim's update with these masks taken off its upload, or None: noise."""
        count = sum(self.headers[victim].frame_bytes) // self.params.ciphertext_bytes
        words = frames.decode(self.store.frame(victim, 0), count, self.params)
        masks.subtract(words, keys, self.params, 0)
        layout = self.colluder._layout
        try:
            opened = self.colluder._keyholder.open_words(lambda _: words, [self.store.seeds(victim)], layout.length)
        except ProtocolError:
            return None
        ranges = Ranges.first(len(layout.tensors))
        quantiser = ranges.quantiser(self.colluder._bound, layout.sizes, self.study.encryption.bits)
        return quantiser.decode_sum(opened[layout.model], 1)

    def _all(self, kind: str) -> tuple[Signed, ...]:
        return tuple(message for _, message in sorted(self.store.all(kind)))


def own_masks(with_victim: MaskKeys, without: MaskKeys, victim: int, members: Sequence[int]) -> MaskKeys:
    """The victim's masks from those of two lists of `members`: its self mask from one, its pair masks from the other.

    In the sum of the others its pair masks have the opposite sign of those in its own upload.
    """
    self_mask = with_victim.plus[list(members).index(victim)]
    pairs = without.plus[len(members) - 1 :]
    return MaskKeys((self_mask, *without.minus), pairs)


def identity(study: Study, silo: int) -> bytes:
    """A silo's public identity key."""
    return bytes.fromhex(study.roster.silos[silo - 1].identity)
