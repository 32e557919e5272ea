"""What an upload of a study consists of: the one place that says so, for silos and for who signs a study.

Torch is imported only where a network is built. How many bytes the values become is for `privacy.he.params`.
"""

from pathlib import Path

from privacy.study import Study
from privacy.update import UpdateLayout
from silo_node.learning import tasks


def of_study(study: Study, weights: Path | None = None) -> UpdateLayout:
    """The layout for a study's task and model, which is built for it.

    Raises:
        ConfigError: `weights` is not given although the study starts from a file, or given although it does not.
        DataError: the model is not allowed, or cannot be built.
        ModuleNotFoundError: what builds networks is not installed here.
    """
    from privacy.dp.gradients import tensor_shapes

    return UpdateLayout(tensor_shapes(tasks.network(study, weights)), metric_fields(study))


def metric_fields(study: Study) -> int:
    """How many counts of held-out patients travel. Raises DataError."""
    return tasks.task(study).fields(study.evaluation.bins)
