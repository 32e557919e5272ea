"""From a draft to a signed study: what a person need not write is filled in, what is signed is whole.

A draft may name members by name only (their identity keys come from the register), leave out the
threshold, the steward, the noise multiplier and the length of an upload. Tasks and transforms are checked at each
silo, which alone has them, and so is a length that the draft gives; the mathematics of the privacy target is checked
here and there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from deploy.consortium.authority import Authority
from privacy.channel.member import Role
from privacy.configuration import Strict, load
from privacy.errors import StudyError
from privacy.governance import Governance
from privacy.he.params import CiphertextParams
from privacy.learning import Component, Model, Name, Task
from privacy.roster import Party, least_threshold
from privacy.study import Aggregation, Encryption, Evaluation, Privacy, SignedStudy, Study, Training, sign


class DraftRoster(Strict):
    """A roster in which a member's name stands for the member."""

    epoch: int = Field(default=1, ge=1)
    threshold: int | None = None
    steward: Name | None = None
    statements: Literal["required", "none"] = "required"
    aggregator: Name | Party
    silos: tuple[Name | Party, ...] = Field(min_length=2, max_length=64)


class Draft(Strict):
    """A `Study` (see there) before it is complete."""

    format: Literal["collegium-study/1"]
    name: Name
    consortium: Name | None = None
    description: str = ""
    task: Task
    model: Model
    transforms: tuple[Component, ...]
    training: Training
    aggregation: Aggregation = Aggregation()
    privacy: Privacy
    evaluation: Evaluation = Evaluation()
    encryption: Encryption = Encryption()
    governance: Governance | None = None
    roster: DraftRoster


@dataclass(frozen=True)
class Completed:
    """A signed study and the epsilon that its silos spend if it runs to its end (None: no protection)."""

    signed: SignedStudy
    epsilon: float | None


def sign_draft(authority: Authority, draft_file: Path, weights: Path | None = None) -> Completed:
    """Complete and sign a draft.

    `weights` is the file that the study starts from, if it does: what is signed is seen to fit it. It is not needed
    where the draft gives the length of an upload, as no model is built then.

    Raises:
        ConfigError: the file does not fit, with its line; the weights that the study starts from are not given.
        IdentityError: a name on the roster is not admitted, or revoked.
        StudyError: another consortium, an identity that is not the admitted one, a roster that is not sound, or
            noise below what the privacy target needs, the ring that does not suit the length of an upload, or a
            length that must be given as the model cannot be built here.
        DataError: the model is not allowed, or the weights are not those that the draft names or do not fit.
    """
    draft = load(draft_file, Draft)
    if draft.consortium not in (None, authority.name):
        raise StudyError(f"{draft_file.name} is for consortium '{draft.consortium}', this is '{authority.name}'")
    steps = draft.training.rounds * draft.training.local_steps
    privacy, epsilon = _with_noise(draft.privacy, steps, draft_file.name)
    study = complete(draft, draft_file.name, authority.name, privacy, partial(_party, authority))
    study = study.model_copy(update={"encryption": _with_length(study, draft_file.name, weights)})
    return Completed(sign(study, authority.study_key), epsilon)


def complete(
    draft: Draft, file_name: str, consortium: str, privacy: Privacy, party_of: Callable[[Role, str | Party], Party]
) -> Study:
    """The study that a draft stands for, unsigned.

    Args:
        draft: the draft.
        file_name: of the draft, for messages.
        consortium: whose study it is.
        privacy: the mechanism, with its noise.
        party_of: the member that a role and what the draft gives for it mean.

    Raises:
        StudyError: the roster, or something else that concerns more than one key, is not sound.
    """
    silos = tuple(party_of(Role.SILO, silo) for silo in draft.roster.silos)
    roster = {
        "epoch": draft.roster.epoch,
        "threshold": least_threshold(len(silos)) if draft.roster.threshold is None else draft.roster.threshold,
        "steward": draft.roster.steward or silos[0].name,
        "statements": draft.roster.statements,
        "aggregator": party_of(Role.AGGREGATOR, draft.roster.aggregator),
        "silos": silos,
    }
    fields = {name: getattr(draft, name) for name in Draft.model_fields}
    try:
        return Study.model_validate({**fields, "consortium": consortium, "privacy": privacy, "roster": roster})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StudyError(f"{file_name}: {place or 'study'}: {first['msg']}; correct the draft") from error


def _party(authority: Authority, role: Role, given: str | Party) -> Party:
    name = given if isinstance(given, str) else given.name
    admitted = Party(name=name, identity=authority.admitted(role, name).identity_key)
    if isinstance(given, Party) and given != admitted:
        raise StudyError(
            f"the draft gives {role} '{name}' another identity key than it was admitted with; leave the key out",
            code="study.other_identity",
        )
    return admitted


def _with_length(study: Study, draft: str, weights: Path | None) -> Encryption:
    """The encryption with the number of values of an upload, which its ring must suit."""
    encryption = study.encryption
    length = encryption.length
    if length is None or weights is not None:
        built = _length_of_model(study, draft, weights)
        length = built if length is None else length
    CiphertextParams.for_study(encryption, len(study.roster.silos)).check_length(length)
    return encryption.model_copy(update={"length": length})


def _length_of_model(study: Study, draft: str, weights: Path | None) -> int:
    from silo_node.learning.layout import of_study  # numpy, and torch, which are needed for this one command

    try:
        return of_study(study, weights).length
    except ModuleNotFoundError as error:
        raise StudyError(
            f"{draft}: the model cannot be built here, as this installation has no '{error.name}'; install "
            "collegium[silo], or give the number of values of an upload as encryption.length",
            code="study.no_length",
        ) from error


def _with_noise(privacy: Privacy, steps: int, draft: str) -> tuple[Privacy, float | None]:
    """The mechanism with its noise multiplier, and the epsilon that `steps` of it cost by PLD accounting."""
    if privacy.mechanism == "none" or privacy.epsilon is None or privacy.delta is None:
        return privacy, None
    from privacy.dp.accounting import calibrate, epsilon_pld  # an accountant is needed for this one command
    from privacy.dp.events import DpSgdEvent

    noise = privacy.noise_multiplier
    if noise is None:
        noise = calibrate(privacy.epsilon, privacy.delta, privacy.sampling_rate, steps)
    epsilon = epsilon_pld([DpSgdEvent(privacy.sampling_rate, noise, steps)], privacy.delta)
    if epsilon > privacy.epsilon:
        raise StudyError(
            f"{draft}: noise_multiplier {noise} costs epsilon {epsilon:.2f}, more than the target {privacy.epsilon};"
            " leave noise_multiplier out to have it computed",
            code="study.noise_too_small",
        )
    return privacy.model_copy(update={"noise_multiplier": noise}), epsilon
