"""The public parameters of a study's ciphertexts, and the argument that their sums are exact.

Integers sit in polynomial coefficients (docs: secure-aggregation protocol, section 2). A coefficient
holds `fields` values of `bits` bits, each in a field wide enough for the sum over all silos, above
`shift` bits that take up the noise. Everything is decided by a hard bound at construction: no tail
probability and no floating point. Also fixes how a vector is cut into ciphertexts and frames, so
that every size is known before a byte is received. Knows no key and no HE library.
"""

import math
from dataclasses import dataclass

from privacy.digest import canonical_json, protocol_hash
from privacy.errors import StudyError
from privacy.study import Encryption

SEED_BYTES = 64
"""Bytes of the public seed that a fresh ciphertext's second polynomial is expanded from."""

FRAME_TARGET_BYTES = 1 << 20
"""A frame holds as many whole ciphertexts as fit in this."""

NOISE_BOUND = 21
"""Largest noise of a fresh encryption: SEAL's centred binomial sums 21 bits minus 21 bits."""

FIELDS = 2
"""Values that share a coefficient in the small ring."""

WIRE_BITS = (48, 50)
"""Bit lengths of a prime for which `privacy.he.frames` knows a packed form."""

PRIMES = {(4096, 48): (281474976694273,), (4096, 50): (1125899906826241,)}
"""By ring degree and bit length, the primes SEAL's `CoeffModulus.Create` gives; the keyholder compares."""


@dataclass(frozen=True)
class CiphertextParams:
    """Ring, primes and fields of one study.

    Args:
        degree: ring degree N, coefficients of a polynomial.
        primes: the primes whose product is the modulus Q; all of one bit length.
        bits: bits of a value before it is summed.
        silos: most ciphertexts that are ever added.
        fields: values in a coefficient.

    Raises:
        ValueError: the worst sum plus the worst noise does not stay below Q.
    """

    degree: int
    primes: tuple[int, ...]
    bits: int
    silos: int
    fields: int = FIELDS

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16 or self.silos < 2 or self.fields < 1 or self.degree < 8 or self.degree % 8:
            raise ValueError("ciphertext parameters out of range")
        if {prime.bit_length() for prime in self.primes} - set(WIRE_BITS) or not self.primes:
            raise ValueError(f"every prime must have one of {WIRE_BITS} bits")
        if len({prime.bit_length() for prime in self.primes}) != 1:
            raise ValueError("all primes must have the same bit length")
        # A coefficient of the opened sum is 2^shift * fields + noise; adding half a unit before the
        # shift must neither wrap below zero nor reach Q.
        largest = sum(self.largest_sum << (self.shift + self.field_bits * field) for field in range(self.fields))
        if 2 * NOISE_BOUND * self.silos >= 1 << self.shift:
            raise ValueError("the noise of the sum does not stay below half a unit")
        if largest + (1 << (self.shift - 1)) + NOISE_BOUND * self.silos >= self.modulus:
            raise ValueError("the worst sum does not fit the modulus")

    @classmethod
    def for_study(cls, encryption: Encryption, silos: int) -> "CiphertextParams":
        """The parameters a signed study asks for with `silos` on its roster.

        Raises:
            StudyError: that many silos do not fit the study's prime.
        """
        primes = PRIMES[encryption.ring_degree, encryption.prime_bits]
        try:
            return cls(encryption.ring_degree, primes, encryption.bits, silos)
        except ValueError as error:
            raise StudyError(
                f"{silos} silos do not fit a prime of {encryption.prime_bits} bits exactly; "
                "set encryption.prime_bits to 50 (up to 16 silos) and sign the study again",
                code="study.encryption_overflow",
            ) from error

    @property
    def modulus(self) -> int:
        """Q, the product of the primes."""
        return math.prod(self.primes)

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

    @property
    def values_per_ciphertext(self) -> int:
        """Values in one ciphertext."""
        return self.degree * self.fields

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
                    "form": "collegium-words/1",
                    "degree": self.degree,
                    "primes": list(self.primes),
                    "bits": self.bits,
                    "silos": self.silos,
                    "fields": self.fields,
                    "field_bits": self.field_bits,
                    "shift": self.shift,
                    "ciphertexts_per_frame": self.ciphertexts_per_frame,
                }
            ),
        )
