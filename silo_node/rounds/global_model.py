"""The silo's durable view of a study: model, optimiser state, ranges, round and chain, replaced by one rename.

Stored as safetensors (no pickle). Round r is in this file exactly when its sum was applied; a kill
leaves the state before or after the round.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from privacy import durable
from privacy.digest import protocol_hash
from privacy.errors import CorruptState
from privacy.secagg.chain import Outcome
from privacy.secagg.ranges import Ranges
from privacy.update import UpdateLayout
from silo_node.rounds.server_optimizer import OptimizerState, Vector


@dataclass(frozen=True)
class GlobalModel:
    """The state after `round_number` rounds (0 = initial).

    `ranges` are those that the next round's updates are sent with; `chain` is `chain_r`, `outcome` how round r ended,
    and `members` the roster indices in its sum: none if it was abandoned, or taken over from another silo.
    """

    optimizer: OptimizerState
    ranges: Ranges
    round_number: int
    chain: bytes
    outcome: Outcome = Outcome.CLOSED
    members: tuple[int, ...] = ()

    def store(self, path: Path) -> None:
        """Write durably. Raises StorageError."""
        state = self.optimizer
        tensors = {"weights": state.weights, "average": state.average, "first": state.first, "second": state.second}
        powers = {"ranges": np.array(self.ranges.powers, np.int8)}
        metadata = {
            "round": str(self.round_number),
            "chain": self.chain.hex(),
            "outcome": self.outcome.value,
            "members": json.dumps(self.members),
            "steps": str(state.steps),
        }
        durable.write(path, save(tensors | powers, metadata))

    @classmethod
    def load(cls, path: Path, layout: UpdateLayout | None = None) -> "GlobalModel":
        """Read back; `layout` is that of the study's network, where the caller knows.

        Raises:
            CorruptState: not the state of such a model.
        """
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata()
                vectors = [file.get_tensor(name) for name in ("weights", "average", "first", "second")]
                weights, average, first, second = vectors
                powers = file.get_tensor("ranges")
            chain = bytes.fromhex(metadata["chain"])
            optimizer = OptimizerState(weights, average, first, second, int(metadata["steps"]))
            ranges = Ranges(tuple(powers.tolist()))
            members = tuple(int(index) for index in json.loads(metadata.get("members", "[]")))
            model = cls(optimizer, ranges, int(metadata["round"]), chain, Outcome(metadata["outcome"]), members)
            tensors = len(powers) if layout is None else len(layout.tensors)
        except (
            ArithmeticError,
            KeyError,
            OSError,
            RecursionError,
            SafetensorError,
            TypeError,
            ValueError,
        ) as error:
            raise CorruptState("the stored model is damaged; restore the state directory from a backup") from error
        shape = (weights.size if layout is None else layout.parameters,)
        sound = weights.shape == shape and all(vector.shape in (shape, (0,)) for vector in vectors[1:])
        sound &= powers.dtype == np.int8 and powers.shape == (tensors,)
        if not sound or any(vector.dtype != np.float64 for vector in vectors) or len(chain) != 32:
            raise CorruptState("the stored model does not fit the study; restore the state directory from a backup")
        return model


def digest(weights: Vector) -> bytes:
    """Digest of the initial model: of its float32 values, little-endian, 32 bytes."""
    return protocol_hash("model", weights.astype("<f4").tobytes())
