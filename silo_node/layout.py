"""What an upload of a study consists of: the one place that says so, for silos and for who signs a study.

Torch is imported only where a network is built. How many bytes the values become is for `privacy.he.params`.
"""

from imaging import metrics, models
from privacy.study import Evaluation, Model
from privacy.update import UpdateLayout
from silo_node.imaging_errors import imaging_errors


def of_tensors(tensors: tuple[tuple[str, tuple[int, ...]], ...], evaluation: Evaluation) -> UpdateLayout:
    """The layout for a network's trainable tensors, names and shapes in the order of the vector."""
    return UpdateLayout(tensors=tensors, metric_fields=metrics.FIELDS(evaluation.bins))


def of_model(model: Model, evaluation: Evaluation) -> UpdateLayout:
    """The layout for a study's model, which is built for it.

    Raises:
        DataError: the model is not allowed, or cannot be built.
        ModuleNotFoundError: what builds networks is not installed here.
    """
    from privacy.dp.training import tensor_shapes

    with imaging_errors():
        network = models.build(model.name, model.parameters, model.seed)
    return of_tensors(tensor_shapes(network), evaluation)
