"""The public parameters of a study's ciphertexts, and the argument that their sums are exact.

Integers sit in polynomial coefficients (docs: secure-aggregation protocol, section 2). A coefficient
holds `fields` values of `bits` bits, each in a field wide enough for the sum over all silos, above
`shift` bits that take up the noise. Everything is decided by a hard bound at construction: no tail
probability and no floating point. Also fixes how a vector is cut into ciphertexts and frames, so
that every size is known before a byte is received. Knows no key and no HE library.

*Random garbage is seen in every ciphertext.* The last `empty` fields of each stay zero, each in a coefficient of
its own and in the top field. Words that a wrong mask has made uniform modulo any one prime, or all, open to
coefficients spread evenly over 0..Q-1, of which a part below 1/largest_sum is zero there: all are with probability
below largest_sum^-empty < 2^-40. (That fields exceed the silos' largest sum says little where 2^field_bits hardly
does: for 16 silos on the small ring and 32 on the large one.)

A study names one of two rings; primes and fields follow from it and the number of silos:

    small   degree 4096, one prime of 48 or 50 bits: 24.6 kB a ciphertext of at most 8,189 values
    large   degree 16384, four primes of 50 bits: 409.6 kB a ciphertext of at most 163,837 values (3 to 8 silos)

The aggregator knows them from the signed study, before it knows how long a vector is. Silos do know, and
`check_length` at their start refuses a study that names the ring that does not suit its model.
"""

import math
from dataclasses import dataclass, field

from privacy.digest import canonical_json, protocol_hash
from privacy.errors import StudyError
from privacy.study import Encryption

SEED_BYTES = 64
"""Bytes of the public seed that a fresh ciphertext's second polynomial is expanded from."""

FRAME_TARGET_BYTES = 1 << 20
"""A frame holds as many whole ciphertexts as fit in this."""

NOISE_BOUND = 21
"""Largest noise of a fresh encryption: SEAL's centred binomial sums 21 bits minus 21 bits."""

MOST_SILOS = 64
"""Silos for which parameters exist."""

SMALL_RING_VALUES = 200_000
"""The longest vector for the small ring: below it, whole ciphertexts of the large one would be mostly padding."""

WIRE_BITS = (48, 50)
"""Bit lengths of a prime for which `privacy.he.frames` knows a packed form."""

HEADROOM_BITS = 32
"""The worst sum stays below Q by at least Q / 2^32: `privacy.he.packing` finds multiples of Q in float64."""

MISSED_BITS = 40
"""A ciphertext of random garbage passes for a sum with probability below 2^-40."""

PRIMES = {
    (4096, 48): (281474976694273,),
    (4096, 50): (1125899906826241,),
    (16384, 50): (1125899903795201, 1125899903827969, 1125899903991809, 1125899904679937),
}
"""By ring degree and bit length, the primes SEAL's `CoeffModulus.Create` gives; the keyholder compares."""

RINGS = {"small": ((4096, 48), (4096, 50)), "large": ((16384, 50),)}
"""The prime sets of the rings that a study can name."""


@dataclass(frozen=True)
class CiphertextParams:
    """Ring, primes and fields of one study.

    Args:
        degree: ring degree N, coefficients of a polynomial.
        primes: the primes whose product is the modulus Q; all of one bit length.
        bits: bits of a value before it is summed.
        silos: most ciphertexts that are ever added.

    `fields`, the values in a coefficient, is the most for which the worst sum plus the worst noise stays below Q.

    Raises:
        ValueError: out of range, or not even one field fits.
    """

    degree: int
    primes: tuple[int, ...]
    bits: int
    silos: int
    fields: int = field(init=False)

    def __post_init__(self) -> None:
        in_range = 1 <= self.bits <= 16 and 2 <= self.silos <= MOST_SILOS
        if not in_range or self.degree < 8 or self.degree % 8:
            raise ValueError("ciphertext parameters out of range")
        if not 1 <= len(self.primes) <= 4 or {prime.bit_length() for prime in self.primes} - set(WIRE_BITS):
            raise ValueError(f"there must be one to four primes, each of one of {WIRE_BITS} bits")
        if len({prime.bit_length() for prime in self.primes}) != 1:
            raise ValueError("all primes must have the same bit length")
        if 2 * NOISE_BOUND * self.silos >= 1 << self.shift:
            raise ValueError("the noise of the sum does not stay below half a unit")
        fields = self.modulus.bit_length() // self.field_bits
        while fields and not self._exact(fields):
            fields -= 1
        if not fields:
            raise ValueError("the worst sum does not fit the modulus")
        object.__setattr__(self, "fields", fields)
        if self.empty > self.degree:
            raise ValueError("the ring is too small for its empty fields")

    def _exact(self, fields: int) -> bool:
        """Whether every sum of `fields` fields survives: the hard bound.

        A coefficient of the opened sum is `2^shift * (sum of fields) + noise`, |noise| <= 21 silos < 2^(shift-1).
        Adding half a unit before the shift rounds the noise away if it neither wraps below zero nor reaches Q.
        """
        return self._worst(fields) < self.modulus - (self.modulus >> HEADROOM_BITS)

    def _worst(self, fields: int) -> int:
        worst = sum(self.largest_sum << (self.shift + self.field_bits * index) for index in range(fields))
        return worst + (1 << (self.shift - 1)) + NOISE_BOUND * self.silos

    @classmethod
    def for_study(cls, encryption: Encryption, silos: int) -> "CiphertextParams":
        """The parameters of a signed study with `silos` on its roster: of its ring's prime sets the most compact.

        Raises:
            StudyError: no parameters for that many silos.
        """
        return cls._of_ring(encryption.ring, encryption.bits, silos)

    @classmethod
    def choose(cls, silos: int, length: int, bits: int = 16) -> "CiphertextParams":
        """The parameters for `silos` vectors of `length` values of `bits` bits.

        Raises:
            StudyError: no parameters for that many silos.
        """
        return cls._of_ring("small" if length <= SMALL_RING_VALUES else "large", bits, silos)

    @classmethod
    def _of_ring(cls, ring: str, bits: int, silos: int) -> "CiphertextParams":
        try:
            sets = [cls(degree, PRIMES[degree, size], bits, silos) for degree, size in RINGS[ring]]
        except ValueError as error:
            raise StudyError(
                f"there are no ciphertext parameters for {silos} silos; a study has 2 to {MOST_SILOS}",
                code="study.encryption_overflow",
            ) from error
        return min(sets, key=lambda params: params.ciphertext_bytes / params.values_per_ciphertext)

    @property
    def modulus(self) -> int:
        """Q, the product of the primes."""
        return math.prod(self.primes)

    @property
    def worst_coefficient(self) -> int:
        """The largest coefficient that opening a sum can meet, half a unit for rounding included; it is below Q."""
        return self._worst(self.fields)

    @property
    def prime_bits(self) -> int:
        """Bit length of every prime, and of a word on the wire."""
        return self.primes[0].bit_length()

    @property
    def largest_value(self) -> int:
        """The largest value before summing, 2^bits - 1."""
        return (1 << self.bits) - 1

    @property
    def largest_sum(self) -> int:
        """The largest sum over all silos."""
        return self.silos * self.largest_value

    @property
    def field_bits(self) -> int:
        """Bits of a field: a value's bits and the carries of `silos` additions."""
        return self.bits + math.ceil(math.log2(self.silos))

    @property
    def shift(self) -> int:
        """d, the bits below the fields: the smallest with 2^(d-1) > 21 silos."""
        return (2 * NOISE_BOUND * self.silos).bit_length()

    def check_length(self, length: int) -> None:
        """Check that the study's ring is the one for vectors of `length` values. For silos, before anything else.

        Raises:
            StudyError: the other ring is.
        """
        suited = self.choose(self.silos, length, self.bits)
        if suited != self:
            ring = next(name for name, sets in RINGS.items() if suited.degree in {degree for degree, _ in sets})
            raise StudyError(
                f"this study's vectors have {length:,} values, for which its ring is not the right one; "
                f"set encryption.ring to {ring} and sign the study again",
                code="study.ring",
            )

    @property
    def empty(self) -> int:
        """Fields at the end of each ciphertext that hold no value: the fewest with largest_sum^empty > 2^40."""
        fields = 1
        while self.largest_sum**fields <= 1 << MISSED_BITS:
            fields += 1
        return fields

    @property
    def values_per_ciphertext(self) -> int:
        """Values in one ciphertext; its other fields are zero in every upload, and so in the sum."""
        return self.degree * self.fields - self.empty

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of one ciphertext's words on the wire, without its seed."""
        return len(self.primes) * self.degree * self.prime_bits // 8

    @property
    def ciphertexts_per_frame(self) -> int:
        """Ciphertexts in every frame but the last."""
        return max(1, FRAME_TARGET_BYTES // self.ciphertext_bytes)

    def ciphertexts(self, length: int) -> int:
        """Ciphertexts that carry `length` values.

        Raises:
            ValueError: `length` is less than 1.
        """
        if length < 1:
            raise ValueError("a vector has at least one value")
        return -(-length // self.values_per_ciphertext)

    def frame_count(self, length: int) -> int:
        """Frames that carry `length` values."""
        return -(-self.ciphertexts(length) // self.ciphertexts_per_frame)

    def frame_ciphertexts(self, length: int) -> tuple[int, ...]:
        """Ciphertexts of each frame in order; only the last may hold fewer."""
        full, rest = divmod(self.ciphertexts(length), self.ciphertexts_per_frame)
        return (self.ciphertexts_per_frame,) * full + ((rest,) if rest else ())

    def frame_sizes(self, length: int) -> tuple[int, ...]:
        """Bytes of each frame in order."""
        return tuple(count * self.ciphertext_bytes for count in self.frame_ciphertexts(length))

    def seed_bytes(self, length: int) -> int:
        """Bytes of one upload's seeds."""
        return self.ciphertexts(length) * SEED_BYTES

    def upload_bytes(self, length: int) -> int:
        """Bytes of one upload: all frames and seeds."""
        return sum(self.frame_sizes(length)) + self.seed_bytes(length)

    def digest(self) -> bytes:
        """`params_id` of the protocol: digest of everything that fixes meaning and form of the words, 32 bytes."""
        return protocol_hash(
            "params",
            canonical_json(
                {
                    "form": "collegium-words/2",
                    "degree": self.degree,
                    "primes": list(self.primes),
                    "bits": self.bits,
                    "silos": self.silos,
                    "fields": self.fields,
                    "empty": self.empty,
                    "field_bits": self.field_bits,
                    "shift": self.shift,
                    "ciphertexts_per_frame": self.ciphertexts_per_frame,
                }
            ),
        )
