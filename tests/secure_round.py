"""One round of secure aggregation between silos that are values in one process, step by step, for tests.

Words are random residues in the place of ciphertexts: masks, MAC and shares do not know the difference.
A step takes the silos that are still there; a test alters what it returns to play a dishonest party.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from privacy.channel.envelope import Signed
from privacy.digest import protocol_hash
from privacy.he import frames
from privacy.he.params import PRIMES, CiphertextParams
from privacy.roster import Party, Roster, least_threshold
from privacy.secagg import advertise, masks, prg, share_set, unmask
from privacy.secagg.advertise import AdvertiseSet
from privacy.secagg.mac import RoundMac
from privacy.secagg.place import Place
from privacy.secagg.round_keys import RoundSecrets, upload_keys
from privacy.secagg.share_set import Received, ShareSet
from privacy.secagg.unmask import Recovered
from privacy.wire import bodies

Words = list[NDArray[np.uint64]]
"""The frames of an upload or a sum."""

SECONDARY_PRIME = 562949953421381
"""A prime of 50 bits just above 2^49: half of all words of its masks are redrawn."""


def tiny_params(silos: int) -> CiphertextParams:
    """Two primes and eight coefficients: everything but size is as in a real ring."""
    return CiphertextParams(8, (PRIMES[4096, 50][0], SECONDARY_PRIME), 16, silos)


class Cast:
    """The silos of a study with their identity keys, and the group secret that they share.

    `unchecked` makes a roster without its validation: a threshold below the rule, the defence of attack 1 off.
    """

    def __init__(self, silos: int, threshold: int | None = None, *, unchecked: bool = False) -> None:
        self.identities = {index: Ed25519PrivateKey.generate() for index in range(1, silos + 1)}
        parties = tuple(
            Party(name=f"silo-{index}", identity=key.public_key().public_bytes_raw().hex())
            for index, key in self.identities.items()
        )
        hub = Party(name="hub", identity=Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex())
        make = Roster.model_construct if unchecked else Roster
        self.roster = make(
            epoch=1,
            threshold=threshold or least_threshold(silos),
            steward="silo-1",
            aggregator=hub,
            silos=parties,
        )
        self.group_secret = secrets.token_bytes(32)

    @property
    def everyone(self) -> tuple[int, ...]:
        return tuple(self.identities)

    def seal(self, silo: int, body: bodies.Body) -> Signed:
        return bodies.seal(body, f"silo-{silo}", self.identities[silo])


class Round:
    """A round of honest silos. Each step keeps what the silos know, by roster index."""

    def __init__(self, cast: Cast, params: CiphertextParams | None = None, length: int = 20, number: int = 1) -> None:
        self.cast = cast
        self.params = params or tiny_params(len(cast.everyone))
        self.length = length
        self.ctx = protocol_hash("ctx", cast.group_secret, number.to_bytes(8, "big"))
        self.places = {silo: Place(cast.roster, self.ctx, number, silo) for silo in cast.everyone}
        self.mac = RoundMac(cast.group_secret, self.ctx, self.params, length)
        self.secrets: dict[int, RoundSecrets] = {}
        self.received: dict[int, Received] = {}
        self.plain: dict[int, Words] = {}
        self.masked: dict[int, Words] = {}
        self.tags: dict[int, bytes] = {}
        self.advertise_set: AdvertiseSet
        self.share_set: ShareSet

    def advertise(self, silos: Iterable[int]) -> tuple[Signed, ...]:
        """M1, as the aggregator would publish it."""
        published = []
        for silo in sorted(silos):
            self.secrets[silo] = RoundSecrets.generate()
            published.append(self.cast.seal(silo, advertise.build(self.places[silo], self.secrets[silo])))
        return tuple(published)

    def share(self, advertised: Sequence[Signed], silos: Iterable[int]) -> tuple[Signed, ...]:
        """Every silo checks the AdvertiseSet; M2, as the aggregator would publish it."""
        published = []
        for silo in sorted(silos):
            own = next(message for message in advertised if message.signer == f"silo-{silo}")
            self.advertise_set = advertise.check(self.places[silo], advertised, own)
            body = share_set.build(self.places[silo], self.secrets[silo], self.advertise_set)
            published.append(self.cast.seal(silo, body))
        return tuple(published)

    def receive(self, shared: Sequence[Signed]) -> ShareSet:
        """Every silo of U2 checks the ShareSet and opens its boxes."""
        for message in shared:
            place = self.places[self.cast.roster.index(message.signer)]
            self.share_set = share_set.check(place, shared, self.advertise_set, message)
            self.received[place.silo] = share_set.receive(place, self.share_set, self.secrets[place.silo])
        return self.share_set

    def upload(self, silos: Iterable[int]) -> None:
        """Every silo of `silos` masks random words and tags them (M3)."""
        for silo in silos:
            self.plain[silo] = self.random_words()
            keys = upload_keys(self.secrets[silo], self.ctx, self.share_set.digest, silo, self.received[silo].seeds)
            self.masked[silo] = [frame.copy() for frame in self.plain[silo]]
            self._walk(self.masked[silo], keys)
            self.tags[silo] = self.mac.tag(silo, self.evaluate(self.masked[silo]))

    def random_words(self) -> Words:
        """What stands for a ciphertext's c0."""
        key = secrets.token_bytes(32)
        whole = prg.residues(key, self.params.primes, self.params.degree, 0, self.params.ciphertexts(self.length))
        cuts = np.cumsum(self.params.frame_ciphertexts(self.length))[:-1]
        return [np.ascontiguousarray(frame) for frame in np.split(whole, cuts)]

    def evaluate(self, words: Words) -> list[tuple[int, ...]]:
        """The MAC's value of each frame."""
        return [self.mac.frame(index, frame) for index, frame in enumerate(words)]

    def total(self, uploads: Iterable[Words]) -> Words:
        """Words added modulo each prime, as the aggregator does."""
        return [sum(parts) % frames.moduli(self.params) for parts in zip(*uploads, strict=True)]  # type: ignore[misc]

    def masked_sum(self, survivors: Iterable[int]) -> Words:
        return self.total([self.masked[silo] for silo in survivors])

    def plain_sum(self, survivors: Iterable[int]) -> Words:
        return self.total([self.plain[silo] for silo in survivors])

    def verify(self, words: Words, survivors: Iterable[int]) -> None:
        """The MAC check of M4."""
        self.mac.verify(self.evaluate(words), {silo: self.tags[silo] for silo in survivors})

    def survivors_hash(self, survivors: Collection[int]) -> bytes:
        return protocol_hash("survivors", bytes(sorted(survivors)))

    def unmask(self, silos: Iterable[int], survivors: Collection[int]) -> tuple[Signed, ...]:
        """M5 of every silo of `silos` for these survivors."""
        published = []
        for silo in sorted(silos):
            revealed = self.received[silo].held.reveal(survivors)
            body = unmask.build(self.places[silo], self.cast.group_secret, self.survivors_hash(survivors), revealed)
            published.append(self.cast.seal(silo, body))
        return tuple(published)

    def recover(
        self, messages: Sequence[Signed], survivors: Collection[int], silo: int = 1, processes: int = 1
    ) -> Recovered:
        """M6, at one silo."""
        return unmask.recover(
            self.places[silo],
            self.cast.group_secret,
            self.share_set,
            survivors,
            self.survivors_hash(survivors),
            messages,
            processes,
        )

    def opened(self, words: Words, recovered: Recovered) -> Words:
        """The sum without masks."""
        return self.without(words, recovered.keys)

    def without(self, words: Words, keys: masks.MaskKeys) -> Words:
        """A copy of words with these masks subtracted."""
        found = [frame.copy() for frame in words]
        self._walk(found, keys.negated())
        return found

    def until_uploads(self, uploaders: Collection[int] | None = None) -> "Round":
        """Everything up to M3 with nobody missing before."""
        everyone = self.cast.everyone
        self.receive(self.share(self.advertise(everyone), everyone))
        self.upload(everyone if uploaders is None else uploaders)
        return self

    def _walk(self, words: Words, keys: masks.MaskKeys) -> None:
        first = 0
        for frame in words:
            masks.add(frame, keys, self.params, first)
            first += len(frame)


def same(one: Words, other: Words) -> bool:
    """Whether two uploads or sums are equal in every word."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
