"""The signed study: everything all parties agree on, frozen, with one canonical digest.

The digest is bound into every message, mask key and ledger entry of the study. A study names a
task, a model and transforms out of allow-lists that `imaging` owns; it never carries code. What is
local to a hospital (folders, policy, budget cap) is not here. All numbers that the privacy
guarantee depends on are public and stand in this file: sampling rate, divisor, clip, noise.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, field_validator, model_validator

from privacy.configuration import Strict, load
from privacy.digest import canonical_json, integer, protocol_hash
from privacy.errors import StudyError
from privacy.governance import Governance
from privacy.learning import Component, Model, Name, Task, unsaid
from privacy.roster import Hex32, Roster
from privacy.signer import Signer

SIGNATURE_CONTEXT = b"collegium/v1/study\x00"
Side = Annotated[int, Field(ge=8, le=4096)]


class Training(Strict):
    """Local training: `local_steps` noisy steps a round at a fixed `learning_rate`, with `momentum` within a round."""

    rounds: int = Field(ge=1, le=10_000)
    local_steps: int = Field(ge=1, le=1_000)
    learning_rate: float = Field(gt=0, le=100)
    momentum: float = Field(default=0.0, ge=0, lt=1, exclude_if=unsaid(0.0))


class Aggregation(Strict):
    """How silos turn the opened sum into the next global model, all alike.

    `round_deadline_seconds` bounds training and uploading, `exchange_seconds` each exchange of small messages; a silo
    that is later sits the round out. Before the signatures, sum and audited frames are downloaded: while silos that are
    needed take frames, that time starts anew with each, up to `round_deadline_seconds`. `audit_frames` is how many
    random frames of every upload each silo adds up itself. With `upload_slot_seconds` every upload leaves at a multiple
    of it after the keys were exchanged, however long training took (0 = at once, and the report lists the instant as
    unprotected).

    `weights` are public FedAvg weights by silo name (equal when empty): a true sample count depends
    on patients and is never sent. `average_decay` is that of the exponential moving average which
    is evaluated and exported (0 = the last model).
    """

    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    learning_rate: float = Field(default=1.0, gt=0, le=100)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weights: dict[Name, float] = Field(default_factory=dict)
    average_decay: float = Field(default=0.0, ge=0, lt=1)
    round_deadline_seconds: int = Field(default=3600, ge=5, le=7 * 86400)
    exchange_seconds: int = Field(default=60, ge=1, le=86400)
    audit_frames: int = Field(default=1, ge=1, le=64)
    upload_slot_seconds: int = Field(default=0, ge=0, le=86400)

    @model_validator(mode="after")
    def _slots_fit(self) -> "Aggregation":
        if 2 * self.upload_slot_seconds > self.round_deadline_seconds:
            raise ValueError(
                "upload_slot_seconds must be at most half of round_deadline_seconds, so that an upload that misses "
                "its slot has another"
            )
        return self


class Privacy(Strict):
    """The mechanism and its target; the unit is the patient, adjacency add/remove, noise local.

    `lot_size` is the public divisor of the gradient sum. `noise_multiplier` is filled in when the
    study is signed and checked by every silo against `epsilon` with two accountants.
    """

    mechanism: Literal["dp_sgd", "none"]
    epsilon: float | None = Field(default=None, gt=0, le=100)
    delta: float | None = Field(default=None, gt=0, lt=0.1)
    clip: float = Field(gt=0, le=1000)
    sampling_rate: float = Field(gt=0, le=1)
    lot_size: int = Field(ge=1, le=1_000_000)
    noise_multiplier: float | None = Field(default=None, gt=0, le=10_000)

    @model_validator(mode="after")
    def _complete(self) -> "Privacy":
        if self.mechanism == "dp_sgd" and (self.epsilon is None or self.delta is None):
            raise ValueError("dp_sgd needs epsilon and delta")
        if self.mechanism == "none" and (self.epsilon or self.delta or self.noise_multiplier):
            raise ValueError("mechanism none has no epsilon, delta or noise_multiplier")
        return self


class Evaluation(Strict):
    """Global metrics on each silo's held-out patients: before round 1, after the last, and `every`
    so many rounds between (0 = never). `bins` score bins a class travel in the encrypted sum. With `window`, one
    number an axis, a segmentation looks at windows of this size and blends what they give."""

    split: Literal["val", "test"] = "test"
    every: int = Field(default=0, ge=0)
    bins: int = Field(default=64, ge=8, le=512)
    window: tuple[Side, ...] | None = Field(default=None, min_length=2, max_length=3, exclude_if=unsaid(None))


class Encryption(Strict):
    """Exact sums under CKKS: `bits` a value and one of two rings (`privacy.he.params`), both at 256-bit security.

    `small` is for vectors of up to 200,000 values (parameters and counts), `large` for longer ones; a silo
    refuses a study that names the wrong one. Primes and packing follow from the ring and the number of silos.

    `length` is the number of values of an upload, which fixes its every size. It is filled in when the study is signed
    (give it only where the model cannot be built); the aggregator takes no other upload, and every silo compares it
    with its own.
    """

    ring: Literal["small", "large"] = "small"
    bits: Literal[16] = 16
    length: int | None = Field(default=None, ge=1, le=2**31 - 1)

    @property
    def ring_degree(self) -> int:
        """Coefficients of a ciphertext's polynomials."""
        return {"small": 4096, "large": 16384}[self.ring]

    @property
    def modulus_bits(self) -> int:
        """Most bits of the modulus that the security level is judged by (the large ring: 4 x 50 + 17, as SEAL does)."""
        return {"small": 50, "large": 217}[self.ring]


class Study(Strict):
    """One study, as all parties signed for it; `governance` is for readers of reports only."""

    format: Literal["collegium-study/1"]
    name: Name
    consortium: Name
    description: str = Field(default="", max_length=2000)
    task: Task
    model: Model
    transforms: tuple[Component, ...] = Field(min_length=1, max_length=20)
    training: Training
    aggregation: Aggregation = Aggregation()
    privacy: Privacy
    evaluation: Evaluation = Evaluation()
    encryption: Encryption = Encryption()
    governance: Governance | None = None
    roster: Roster

    @field_validator("description")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not all(character.isprintable() or character == "\n" for character in value):
            raise ValueError("description must be printable text")
        return value

    @model_validator(mode="after")
    def _window_fits_the_task(self) -> "Study":
        window = self.evaluation.window
        if window is not None and (self.task.kind != "segmentation" or len(window) != self.task.dimensions):
            raise ValueError("evaluation.window is for a segmentation, with one number for each of its dimensions")
        return self

    @model_validator(mode="after")
    def _weights_name_silos(self) -> "Study":
        names = {silo.name for silo in self.roster.silos}
        weights = self.aggregation.weights
        if weights and set(weights) != names:
            raise ValueError("weights must name every silo of the roster once, or be left out")
        if any(not 0 < weight <= 1e6 for weight in weights.values()):
            raise ValueError("weights must be positive")
        return self

    def canonical(self) -> bytes:
        """The canonical bytes that are signed; without governance those of a study that has no such section."""
        return canonical_json(self.model_dump(mode="json", exclude=None if self.governance else {"governance"}))

    def digest(self) -> bytes:
        """The digest that is bound into everything, 32 bytes."""
        return protocol_hash("study", self.canonical())

    @property
    def upload_length(self) -> int:
        """Number of values of every upload.

        Raises:
            StudyError: the study does not say.
        """
        if self.encryption.length is None:
            raise StudyError(
                "the study does not say how long an upload is; it must be signed by 'study sign', which adds that",
                code="study.no_length",
            )
        return self.encryption.length

    def check_length(self, length: int) -> None:
        """Check that uploads have as many values as the study says. For silos, which have the model.

        Raises:
            StudyError: they have not, or the study does not say.
        """
        if self.upload_length != length:
            raise StudyError(
                f"the study says that an upload has {self.upload_length:,} values, but its model and metrics have "
                f"{length:,} here; ask the consortium to sign it again without encryption.length",
                code="study.other_length",
            )

    def weight(self, silo: str) -> float:
        """The public weight of a silo over the largest one, in (0, 1]."""
        weights = self.aggregation.weights
        return weights[silo] / max(weights.values()) if weights else 1.0


class Signature(Strict):
    """An Ed25519 signature by the consortium's study key."""

    key: Hex32
    ed25519: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class SignedStudy(Strict):
    """A study file as it is handed to silos and the aggregator."""

    study: Study
    signature: Signature


def sign(study: Study, key: Signer) -> SignedStudy:
    """Sign the canonical bytes of a study with the consortium's study key."""
    signature = key.sign(SIGNATURE_CONTEXT + study.canonical())
    public = key.public_key().public_bytes_raw()
    return SignedStudy(study=study, signature=Signature(key=public.hex(), ed25519=signature.hex()))


def dump(signed: SignedStudy) -> str:
    """The YAML text of a signed study; reading it back gives the same digest."""
    return yaml.safe_dump(signed.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_signed(path: Path, consortium_key: bytes) -> Study:
    """Read a signed study and verify it against the consortium's study key (32 raw bytes).

    Raises:
        ConfigError: not a study file, or an unknown key (with its line).
        StudyError: unsigned, altered, or signed by another consortium.
    """
    try:
        text = path.read_bytes()
    except OSError:
        text = b""
    if text and b"\nsignature:" not in b"\n" + text:
        raise StudyError(
            f"{path.name} is not signed; ask the consortium for the file that 'study sign' wrote", code="study.unsigned"
        )
    signed = load(path, SignedStudy)
    if bytes.fromhex(signed.signature.key) != consortium_key:
        raise StudyError(
            f"{path.name} is signed by another consortium; use the study of the consortium you enrolled with",
            code="study.foreign_signature",
        )
    try:
        Ed25519PublicKey.from_public_bytes(consortium_key).verify(
            bytes.fromhex(signed.signature.ed25519), SIGNATURE_CONTEXT + signed.study.canonical()
        )
    except InvalidSignature as error:
        raise StudyError(
            f"{path.name} was altered after it was signed; ask the consortium for the original", code="study.altered"
        ) from error
    return signed.study


def context(
    study: Study, key_id: bytes, params_id: bytes, layout_digest: bytes, round_number: int, chain: bytes
) -> bytes:
    """`ctx_r` of the protocol: what a round's every message is bound to, 32 bytes."""
    return protocol_hash(
        "ctx",
        study.digest(),
        integer(study.roster.epoch),
        study.roster.digest(),
        key_id,
        params_id,
        layout_digest,
        integer(round_number),
        chain,
    )
