"""Runs the attacks of an audit on a study's mechanism, with made-up patients; imports torch.

What is attacked is the code that trains (`privacy.dp.training`), with the study's clip, divisor, rate, network, loss
and transforms. Only the noise is made anew, for the epsilon at which an audit can tell a broken mechanism from a sound
one; gradient inversion meets the study's own noise. No cohort is opened.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from imaging.networks import building
from imaging.transforms.pipeline import Pipeline
from privacy.dp.audit import finding, inversion, membership, one_run
from privacy.dp.audit.finding import Finding, Inversion
from privacy.randomness import SecureStream
from privacy.study import Study
from silo_node.imaging_errors import imaging_errors
from silo_node.learning import tasks

EVERY_PATIENT: Final = "one run, every patient in one step"
AS_SAMPLED: Final = "one run, sampled as in the study"
SQUARE: Final = 16
"""Pixels of a side of each of the 8 x 8 squares of one shade in a made-up image."""

CUBE: Final = 6
"""Voxels, as millimetres, of a side of each of the 8 x 8 x 8 cubes of a made-up volume."""


@dataclass(frozen=True)
class Effort:
    """How much an audit does.

    Attributes:
        runs: of 4,096 canaries each, with every patient in one step. 16 find halved noise, 4 only coarser defects.
        sampled_runs: as above, of up to 100 steps with the study's sampling.
        trials: of membership inference on the study's network.
    """

    runs: int = 16
    sampled_runs: int = 8
    trials: int = 2048


FULL: Final = Effort()


def perform(
    study: Study,
    effort: Effort,
    progress: Callable[[str, int, int], None],
    threads: int,
    weights: Path | None = None,
) -> tuple[tuple[Finding, ...], Inversion]:
    """Run all attacks.

    Args:
        study: an approved study.
        effort: how much.
        progress: told the attack, what of it is done, and of how much.
        threads: of the processor.
        weights: file of the weights that the study starts from, if it does.

    Raises:
        ConfigError: the study trains without differential privacy (`audit.unprotected`), or the file of weights that
            it starts from is not there.
        DataError: its model, transforms or starting weights cannot be used.
    """
    torch.set_num_threads(threads)
    whole = finding.single_step(study.privacy, study.training, sampling_rate=1.0)
    sampled = finding.plan(study.privacy, study.training)
    task, network, pipeline = tasks.task(study), tasks.network(study, weights), tasks.transforms(study)
    with imaging_errors():
        building.check(network, pipeline.shape, task.problem)
    loss, examples = task.loss, task.examples(pipeline.shape[1:])

    def told(what: str) -> Callable[[int, int], None]:
        return lambda done, of: progress(what, done, of)

    patients = _made_up(pipeline)
    findings = (
        one_run.audit(EVERY_PATIENT, whole, runs=effort.runs, progress=told(EVERY_PATIENT)),
        one_run.audit(AS_SAMPLED, sampled, runs=effort.sampled_runs, progress=told(AS_SAMPLED)),
        membership.audit(
            whole, network, loss, patients, effort.trials, examples=examples, progress=told(membership.WHAT)
        ),
    )
    return findings, inversion.attempt(network, loss, next(patients), study.privacy, study.training, examples[-1])


def _made_up(pipeline: Pipeline) -> Iterator[NDArray[np.float32]]:
    """Images of nobody after the study's transforms, (1, *spatial), without end."""
    stream = SecureStream()
    while True:
        axes = len(pipeline.shape) - 1
        shades = stream.uniforms(8**axes).reshape([8] * axes)
        side = SQUARE if axes == 2 else CUBE
        with imaging_errors():
            image = pipeline(np.kron(shades, np.ones([side] * axes)), np.eye(4) if axes == 3 else None)
        yield image
