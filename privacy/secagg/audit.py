"""The spot audit of M4: random frames of every survivor are fetched and added up, and must give the sum's frame.

The linear MAC binds the aggregator, which does not know its key. A silo does, and with the aggregator it can make an
altered sum that passes. It cannot make altered *uploads*: every frame's SHA-256 stands in a header that its silo
signed. So each silo picks frames that nobody can foresee, after the list and the sum are signed and fixed, and adds
them up itself. An alteration in d of F frames escapes one silo that audits a of them with probability
C(F-d, a) / C(F, a), and h silos with the h-th power of that: bulk changes are found, one frame of many may not be.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from privacy.errors import ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.randomness import SecureStream
from privacy.secagg.findings import Findings, refusal


def choose(frame_count: int, audited: int, stream: SecureStream) -> tuple[int, ...]:
    """`audited` different frame indices (from 0), uniformly, ascending; all frames if there are fewer.

    Raises:
        ValueError: no frame, or none to audit.
    """
    if frame_count < 1 or audited < 1:
        raise ValueError("an audit takes at least one of at least one frame")
    # Indices in the order of random words: a uniform permutation, but for ties of probability below 2^-35.
    return tuple(sorted(np.argsort(stream.words(frame_count), kind="stable")[:audited].tolist()))


def check(
    index: int,
    uploaded: Mapping[int, bytes],
    promised: Mapping[int, bytes],
    sum_frame: bytes,
    params: CiphertextParams,
    length: int,
) -> None:
    """Check one frame of a sum against the same frame of every survivor.

    Args:
        index: of the frame, from 0.
        uploaded: the frame by roster index, as fetched.
        promised: its SHA-256 by roster index of every survivor, from the signed headers.
        sum_frame: the frame of the sum, as downloaded.
        params: the study's ciphertext parameters.
        length: values in an upload.

    Raises:
        ProtocolError: `sum.refused`, whatever the reason, and after the same work.
    """
    try:
        count = frames.expected_ciphertexts(index, length, params)
    except ProtocolError as error:
        raise refusal() from error
    findings = Findings()
    total = np.zeros((count, len(params.primes), params.degree), np.uint64)
    with findings.noting():
        if set(uploaded) != set(promised):
            raise ProtocolError("a survivor's frame is missing")
    for silo, frame in uploaded.items():
        with findings.noting():
            if hashlib.sha256(frame).digest() != promised.get(silo):
                raise ProtocolError("a survivor's frame is not the one it signed")
        with findings.noting():
            total += frames.decode(frame, count, params)
    with findings.noting():
        if frames.encode(total % frames.moduli(params), params) != sum_frame:
            raise ProtocolError("the frames do not add up to the sum")
    findings.settle()
