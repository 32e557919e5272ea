"""Values to polynomial coefficients and back, in exact integer arithmetic.

A coefficient is `2^shift * sum_f value_f 2^(field_bits f)`. Value i of a ciphertext sits in field
i // degree of coefficient i % degree. For one prime a coefficient is one word; a ring with several
primes adds residues here and nowhere else. Does not know ciphertexts or keys.
"""

import numpy as np
from numpy.typing import NDArray

from privacy.he.params import CiphertextParams


def pack(values: NDArray[np.uint16], params: CiphertextParams) -> NDArray[np.uint64]:
    """Pack values, padded with zeros to whole ciphertexts, into coefficients (ciphertexts, 1, degree)."""
    count = params.ciphertexts(values.size)
    padded = np.zeros(count * params.values_per_ciphertext, np.uint64)
    padded[: values.size] = values
    by_field = padded.reshape(count, params.fields, params.degree)
    packed = np.zeros((count, 1, params.degree), np.uint64)
    for field in range(params.fields):
        packed[:, 0] |= by_field[:, field] << np.uint64(params.shift + params.field_bits * field)
    return packed


def unpack(phases: NDArray[np.uint64], params: CiphertextParams) -> NDArray[np.int64]:
    """Sums of all values, padding included, of decrypted coefficients (ciphertexts, 1, degree).

    The top field keeps all bits above it, so that a coefficient no honest sum could give shows
    itself as a field out of bounds. Shape (ciphertexts * values_per_ciphertext,).
    """
    modulus = np.uint64(params.modulus)
    # The noise lies within half a unit of zero: half a unit up, and the shift rounds it away exactly.
    raised = phases[:, 0] + np.uint64(1 << (params.shift - 1))
    np.minimum(raised, raised - modulus, out=raised)
    raised >>= np.uint64(params.shift)
    sums = np.empty((len(phases), params.fields, params.degree), np.int64)
    mask = np.uint64((1 << params.field_bits) - 1)
    for field in range(params.fields - 1):
        sums[:, field] = raised & mask
        raised >>= np.uint64(params.field_bits)
    sums[:, -1] = raised
    return sums.reshape(-1)
