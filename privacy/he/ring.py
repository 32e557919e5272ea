"""What SEAL computes for a keyholder: transforms, key generation, seed expansion; and the start-up self-check.

The context enforces SEAL's 256-bit classical security level of the homomorphic encryption standard. There is no key
switching and nothing but addition: the special prime that SEAL wants above several data primes is never used.
Randomness of keys and encryptions is SEAL's own, seeded by the system for every call, in forked processes too; no
generator is ever set. One thread at a time.
"""

import hashlib

import numpy as np
import tenseal.sealapi as sealapi
from numpy.typing import NDArray

from privacy.he.params import SEED_BYTES, CiphertextParams
from privacy.he.seal import MAX_POLYNOMIALS, SealFile, has_special_prime, unknown_layout

VECTOR_SEED = bytes(range(SEED_BYTES))
SPECIAL_PRIME_BITS = 17
TRANSFORM_BYTES = 1 << 20
"""Polynomials are transformed in groups of about this size."""

VECTORS = {
    281474976694273: "83867c7c8760d56a880bb2e7be659583aa9bfde97ba38af194d7fcc6c5ac9f9e",
    1125899906826241: "f4bcfaa7136e87e77e75357ddb9b43a0ef6a917d32a9bd89b426ca4a95940cb8",
    1125899903795201: "3210fc6b031728dcdb95c93e32ef3e6633bb09a3c37d32bc38301ed32ef1ebc5",
    1125899903827969: "f8907c1757231cd41021c647cd8dac834e72edb125cde710750eb905e4501d6c",
    1125899903991809: "555257abff2a837b2834d11feafcdd381e4c94d16f79473f5218e20806d91324",
    1125899904679937: "2783188dbe383755ee796d92027856fa9415a7bee714a676f90216fbafc205b6",
}
"""SHA-256 of the words that `VECTOR_SEED` expands to modulo each prime of `privacy.he.params.PRIMES`."""


class Ring:
    """SEAL's context for a study's parameters.

    Raises:
        ConfigError: `he.seal_layout`: the installed SEAL has other primes, refuses the security
            level, writes other files or expands seeds otherwise.
    """

    def __init__(self, params: CiphertextParams) -> None:
        self.params = params
        bits = [prime.bit_length() for prime in params.primes]
        special = [SPECIAL_PRIME_BITS] if has_special_prime(params) else []
        primes = sealapi.CoeffModulus.Create(params.degree, bits + special)
        if tuple(prime.value() for prime in primes[: len(bits)]) != params.primes:
            raise unknown_layout("chooses other primes than the study's")
        parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(params.degree)
        parameters.set_coeff_modulus(primes)
        self.context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC256)
        if not self.context.parameters_set():
            raise unknown_layout("refuses the study's parameters at the 256-bit security level")
        parms_id, key_id = (
            np.array(name, "<u8").tobytes() for name in (self.context.first_parms_id(), self.context.key_parms_id())
        )
        self.files = SealFile(params, self.context, parms_id, key_id)
        self.evaluator = sealapi.Evaluator(self.context)
        self._moduli = np.array(params.primes, np.uint64)[:, None]
        self._self_check()

    def to_ntt(self, polynomials: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Transform reduced polynomials (count, primes, degree) to NTT form."""
        return self._transform(polynomials, forward=True)

    def from_ntt(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Transform words in NTT form (count, primes, degree) back to coefficients."""
        return self._transform(words, forward=False)

    def expand(self, seed: bytes) -> NDArray[np.uint64]:
        """The polynomial a 64-byte seed stands for, in NTT form, shape (primes, degree)."""
        ciphertext = sealapi.Ciphertext()
        self.files.write_seed(ciphertext, seed)
        expanded: NDArray[np.uint64] = self.files.read_ciphertext(ciphertext, 2, ntt=True)[1]
        return expanded

    def generate_secret(self) -> NDArray[np.int8]:
        """A fresh secret from SEAL's key generator: its coefficients in {-1, 0, 1}, shape (degree,)."""
        return self._ternary(sealapi.KeyGenerator(self.context).secret_key())

    def secret_key(self, coefficients: NDArray[np.int8]) -> "sealapi.SecretKey":
        """SEAL's form of a secret with coefficients in {-1, 0, 1}."""
        signed = coefficients.astype(np.int64)
        residues = np.where(signed < 0, self._moduli - np.uint64(1), signed.astype(np.uint64))
        key = sealapi.SecretKey()
        self.files.write_secret_key(key, self.to_ntt(residues[None])[0])
        return key

    def _ternary(self, key: "sealapi.SecretKey") -> NDArray[np.int8]:
        residues = self.from_ntt(self.files.read_secret_key(key)[None])[0]
        ones, minus_ones = residues == 1, residues == self._moduli - np.uint64(1)
        if not (ones | minus_ones | (residues == 0)).all() or (ones != ones[0]).any():
            raise unknown_layout("makes secret keys of an unknown form")
        coefficients: NDArray[np.int8] = ones[0].astype(np.int8) - minus_ones[0].astype(np.int8)
        return coefficients

    def _transform(self, words: NDArray[np.uint64], *, forward: bool) -> NDArray[np.uint64]:
        # A ciphertext is the only thing that SEAL transforms many polynomials of at once. It refuses one that has
        # no polynomial but zero after the first ("transparent"); then a constant rides along.
        group = min(MAX_POLYNOMIALS - 1, max(2, TRANSFORM_BYTES // words[0].nbytes))
        ciphertext = sealapi.Ciphertext()
        transform = self.evaluator.transform_to_ntt_inplace if forward else self.evaluator.transform_from_ntt_inplace
        result = np.empty(words.shape, np.uint64)
        for start in range(0, len(words), group):
            part = words[start : start + group]
            count = len(part)
            if not part[1:].any():
                part = np.concatenate([part, np.ones((1, *words.shape[1:]), np.uint64)])
            self.files.write_ciphertext(ciphertext, part, ntt=not forward)
            transform(ciphertext)
            result[start : start + group] = self.files.read_ciphertext(ciphertext, len(part), ntt=forward)[:count]
        return result

    def _self_check(self) -> None:
        """Compare this SEAL with the vectors, and a decryption with what was encrypted, before any real key."""
        for prime, words in zip(self.params.primes, self.expand(VECTOR_SEED), strict=True):
            if hashlib.sha256(words.astype("<u8").tobytes()).hexdigest() != VECTORS.get(prime):
                raise unknown_layout("expands seeds in an unknown way")
        coefficients = np.arange(self.params.degree, dtype=np.uint64)[None, None] << np.uint64(self.params.shift)
        coefficients = np.broadcast_to(coefficients, (1, len(self.params.primes), self.params.degree))
        key = self.secret_key(self.generate_secret())
        words, seed = self.files.read_seeded(sealapi.Encryptor(self.context, key).encrypt_zero_symmetric())
        ciphertext, plaintext = sealapi.Ciphertext(), sealapi.Plaintext()
        self.files.write_seeded(ciphertext, (words + self.to_ntt(coefficients)[0]) % self._moduli, seed)
        sealapi.Decryptor(self.context, key).decrypt(ciphertext, plaintext)
        opened = self.from_ntt(self.files.read_plaintext(plaintext)[None])
        half = np.uint64(1 << (self.params.shift - 1))
        if ((opened + half) % self._moduli >> np.uint64(self.params.shift) != np.arange(self.params.degree)).any():
            raise unknown_layout("does not decrypt what it encrypted")
