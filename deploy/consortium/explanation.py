"""`collegium-consortium study explain`: what a study's roster and encryption mean, before anybody is asked for it.

Sizes are computed from the same parameters that silos and aggregator use. Seconds are an estimate from
costs measured on one core, which docs/explanation/secure-aggregation.md states; they leave out training, transfer and
waiting. Reads a signed study or a draft; a draft's members need not be admitted, as their keys change no figure.
Says nothing about privacy loss: `study sign` and `collegium-silo approve` do.
"""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from compliance.studies import security_bits
from deploy.consortium.signing import Draft, complete
from privacy.channel.member import Role
from privacy.configuration import load
from privacy.digest import Json
from privacy.he.params import NOISE_BOUND, CiphertextParams
from privacy.roster import Party, fingerprint
from privacy.study import SignedStudy, Study, load_signed
from privacy.update import UpdateLayout
from silo_node.learning.layout import metric_fields

UNNAMED_CONSORTIUM = "unnamed"
ADVERTISE_BYTES = 2_600
BOX_BYTES = 2_450
SIGNED_BYTES = 200
UNMASK_BYTES_A_SILO = 32
HEADER_BYTES_A_FRAME = 40
"""Sizes of signed messages on the wire, rounded up; a test compares them with real ones."""

PROTECT_MS = {"small": (2.0, 0.02), "large": (7.7, 0.23)}
OPEN_MS = {"small": (1.8, 0.27), "large": (8.1, 1.9)}
"""CPU milliseconds a ciphertext: a fixed part and a part for each silo."""
EXCHANGE_MS = (4.0, 1.0)
"""CPU milliseconds of M1 and M2 at a silo: a fixed part and a part for each silo."""
RECOVER_MS_AT_8, RECOVER_EXPONENT = 26.0, 2.5
"""CPU milliseconds of combining the revealed shares for 8 silos, and the power of the number of silos it grows with."""


@dataclass(frozen=True)
class Traffic:
    """Bytes of one silo in one round, and what they consist of; the ratio is to the values as float32."""

    values: int
    upload_bytes: int
    upload_ratio: float
    download_bytes: int
    of_this_sum_and_seeds: int
    of_this_audit: int
    of_this_messages: int
    seconds_estimated: float
    of_this_protect: float
    of_this_open: float
    of_this_recover: float


@dataclass(frozen=True)
class Explanation:
    """What `study explain` prints; `traffic` is None for a draft when nobody said how large the model is."""

    study: str
    signed_by: str | None
    silos: int
    threshold: int
    dropouts_tolerated: int
    collusion_tolerated: int
    ring: str
    degree: int
    primes: int
    prime_bits: int
    security_bits: int
    bits_kept: int
    field_bits: int
    fields: int
    exactness: str
    upload_slot_seconds: int
    traffic: Traffic | None


def read(path: Path) -> tuple[Study, str | None]:
    """A signed study and the fingerprint of the key it is signed with, or the study that a draft stands for and None.

    The signature is verified under the key that the file itself names: compare the fingerprint.

    Raises:
        ConfigError: neither a study nor a draft, with the line.
        StudyError: altered after it was signed, or not sound.
    """
    if not _has_signature(path):
        draft = load(path, Draft)
        return complete(draft, path.name, draft.consortium or UNNAMED_CONSORTIUM, draft.privacy, _stand_in), None
    key = bytes.fromhex(load(path, SignedStudy).signature.key)
    return load_signed(path, key), fingerprint(key)


def explain(study: Study, signed_by: str | None, parameters: int | None) -> Explanation:
    """Work out what a study's roster and encryption mean.

    Args:
        study: the study.
        signed_by: fingerprint of the key it is signed with.
        parameters: trainable values of its model, for a draft that does not give the length of an upload. How
            many tensors they are in, and so how many counts, they do not tell: as if one.

    Raises:
        StudyError: `study.ring`: the study names the ring that does not suit so many values; `study.other_length`:
            it says another length than so many parameters give.
    """
    roster, silos = study.roster, len(study.roster.silos)
    params = CiphertextParams.for_study(study.encryption, silos)
    values = study.encryption.length
    if parameters is not None:
        # As if of one tensor; each further tensor adds one count.
        least = UpdateLayout((("model", (parameters,)),), metric_fields(study)).length
        if values is None:
            values = least
        elif not least <= values < least + parameters:
            study.check_length(least)
    return Explanation(
        study=study.name,
        signed_by=signed_by,
        silos=silos,
        threshold=roster.threshold,
        dropouts_tolerated=roster.dropouts_tolerated,
        collusion_tolerated=roster.collusion_tolerated,
        ring=study.encryption.ring,
        degree=params.degree,
        primes=len(params.primes),
        prime_bits=params.prime_bits,
        security_bits=security_bits(study.encryption),
        bits_kept=params.bits,
        field_bits=params.field_bits,
        fields=params.fields,
        exactness=_exactness(params),
        upload_slot_seconds=study.aggregation.upload_slot_seconds,
        traffic=None if values is None else _traffic(study, params, values),
    )


def as_json(found: Explanation) -> dict[str, Json]:
    """The explanation as plain data."""
    return asdict(found)


def in_words(found: Explanation) -> dict[str, Json]:
    """The explanation as lines for a person."""
    together = found.collusion_tolerated
    collusion = f"the aggregator with {together} silo{'' if together == 1 else 's'}"
    if found.silos == 2:
        collusion = "the aggregator alone: each of two silos can subtract its own update from the sum"
    lines: dict[str, Json] = {
        "study": found.study,
        "signed_by": found.signed_by or "not signed: a draft",
        "silos": f"{found.silos}; a round needs {found.threshold}",
        "dropouts_tolerated": found.dropouts_tolerated,
        "collusion_tolerated": collusion,
        "ring": f"{found.ring}: degree {found.degree}, {found.primes} x {found.prime_bits} bits",
        "security_level": f"{found.security_bits} bits (classical; HomomorphicEncryption.org standard, table 1)",
        "bits_kept": f"{found.bits_kept} of each value, in a field of {found.field_bits}",
        "fields": f"{found.fields} values a coefficient",
        "exact": found.exactness,
        "instants": (
            f"uploads leave at multiples of {found.upload_slot_seconds} s after the keys were exchanged"
            if found.upload_slot_seconds
            else "an upload leaves when training ends, which may depend on patients: listed as unprotected"
        ),
    }
    if found.traffic is None:
        return lines | {"a_round": "add --parameters for bytes and seconds; a signed study says its length itself"}
    cost = found.traffic
    return lines | {
        "values": f"{cost.values:,} (the model's parameters and the counts)",
        "bytes_up": f"{cost.upload_bytes:,} a round, {cost.upload_ratio:g} x the values as float32",
        "bytes_down": f"{cost.download_bytes:,} a round: {cost.of_this_sum_and_seeds:,} for the sum and seeds, "
        f"{cost.of_this_audit:,} for the audit, {cost.of_this_messages:,} for messages",
        "seconds": f"about {cost.seconds_estimated:g} of one core a round (an estimate, without training, transfer and "
        f"waiting): protect {cost.of_this_protect:g}, open {cost.of_this_open:g}, recover {cost.of_this_recover:g}",
    }


def _exactness(params: CiphertextParams) -> str:
    noise, spare = NOISE_BOUND * params.silos, params.modulus - params.worst_coefficient
    return (
        f"the noise of {params.silos} ciphertexts is at most {NOISE_BOUND} x {params.silos} = {noise}, below half a "
        f"unit, 2^{params.shift - 1}; the largest sum in {params.fields} fields of {params.field_bits} bits, with "
        f"noise and rounding, stays more than 2^{spare.bit_length() - 2} below the modulus of "
        f"{params.modulus.bit_length()} bits: a bound, not a probability"
    )


def _traffic(study: Study, params: CiphertextParams, values: int) -> Traffic:
    params.check_length(values)
    silos, frames = params.silos, params.frame_count(values)
    audited = min(study.aggregation.audit_frames, frames)
    frame = max(params.frame_sizes(values))
    header = SIGNED_BYTES + HEADER_BYTES_A_FRAME * frames
    unmask = SIGNED_BYTES + UNMASK_BYTES_A_SILO * silos
    shares = SIGNED_BYTES + BOX_BYTES * silos
    sums = sum(params.frame_sizes(values)) + silos * params.seed_bytes(values)
    audit = audited * silos * frame
    messages = silos * (ADVERTISE_BYTES + shares + header + unmask + 2 * SIGNED_BYTES) + header + silos * 40
    upload = params.upload_bytes(values) + ADVERTISE_BYTES + shares + header + unmask + 2 * SIGNED_BYTES
    ciphertexts = params.ciphertexts(values)
    exchange = _line(EXCHANGE_MS, silos)
    protect = ciphertexts * _line(PROTECT_MS[study.encryption.ring], silos)
    opening = ciphertexts * _line(OPEN_MS[study.encryption.ring], silos)
    recover = RECOVER_MS_AT_8 / 1000 * math.pow(silos / 8, RECOVER_EXPONENT)
    return Traffic(
        values=values,
        upload_bytes=upload,
        upload_ratio=round(upload / (4 * values), 3),
        download_bytes=sums + audit + messages,
        of_this_sum_and_seeds=sums,
        of_this_audit=audit,
        of_this_messages=messages,
        seconds_estimated=round(exchange + protect + opening + recover, 3),
        of_this_protect=round(protect, 3),
        of_this_open=round(opening, 3),
        of_this_recover=round(recover, 3),
    )


def _line(milliseconds: tuple[float, float], silos: int) -> float:
    fixed, each = milliseconds
    return (fixed + each * silos) / 1000


def _has_signature(path: Path) -> bool:
    """Whether the file has a signature; one that cannot be read is left to `load`, which says why."""
    try:
        return b"\nsignature:" in b"\n" + path.read_bytes()
    except OSError:
        return False


def _stand_in(role: Role, given: str | Party) -> Party:
    """A member as the draft gives it, or one of its name with a key that stands for the one it will have."""
    if isinstance(given, Party):
        return given
    return Party(name=given, identity=hashlib.sha256(f"{role.value} {given}".encode()).hexdigest())
