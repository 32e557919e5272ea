"""The shares a silo holds of others' secrets, and the only way they leave: for one survivor list, once.

Of each silo a round reveals either b (it survived: its self mask is removed) or k (it dropped out: its pair masks are
removed), never both, which would open its upload. `reveal` keeps just the one half; what it returns is stored in the
place of what was held before anything is sent, so that no later list can be answered, whatever is asked.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from privacy.secagg.shares import SHARE_BYTES

INDEX_BYTES = 1
RECORD_BYTES = INDEX_BYTES + 2 * SHARE_BYTES


@dataclass(frozen=True)
class HeldShares:
    """(share of b, share of k) by owner, for all of U2; hidden from `repr`."""

    by_owner: Mapping[int, tuple[bytes, bytes]] = field(repr=False)

    def __post_init__(self) -> None:
        if any(len(share) != SHARE_BYTES for pair in self.by_owner.values() for share in pair):
            raise ValueError("a share has 32 bytes")

    def to_bytes(self) -> bytes:
        """Owner, share of b, share of k for each owner, ascending: secret."""
        return b"".join(bytes([owner]) + b"".join(pair) for owner, pair in sorted(self.by_owner.items()))

    @classmethod
    def from_bytes(cls, encoded: bytes) -> "HeldShares":
        """The shares of `to_bytes`.

        Raises:
            ValueError: not whole records, or an owner twice.
        """
        if not encoded or len(encoded) % RECORD_BYTES:
            raise ValueError("held shares are not whole")
        records = [encoded[at : at + RECORD_BYTES] for at in range(0, len(encoded), RECORD_BYTES)]
        cut = INDEX_BYTES + SHARE_BYTES
        held = {record[0]: (record[INDEX_BYTES:cut], record[cut:]) for record in records}
        if len(held) != len(records):
            raise ValueError("held shares name an owner twice")
        return cls(held)

    def reveal(self, survivors: Collection[int]) -> "RevealedShares":
        """The b-share of each survivor and the k-share of everybody else; the rest is forgotten.

        Raises:
            ValueError: a survivor of whom no share is held.
        """
        if not set(survivors) <= set(self.by_owner) or not survivors:
            raise ValueError("survivors are some of the silos that shared")
        chosen = (pair[0 if owner in survivors else 1] for owner, pair in sorted(self.by_owner.items()))
        return RevealedShares(tuple(sorted(self.by_owner)), tuple(sorted(survivors)), tuple(chosen))


@dataclass(frozen=True)
class RevealedShares:
    """One share of each of U2, ascending by owner: of b for survivors, of k for the others."""

    owners: tuple[int, ...]
    survivors: tuple[int, ...]
    shares: tuple[bytes, ...] = field(repr=False)

    @property
    def plaintext(self) -> bytes:
        """What is sealed in M5: b-shares of U3, then k-shares of U2 minus U3, each part ascending by owner."""
        pairs = list(zip(self.owners, self.shares, strict=True))
        survived = [share for owner, share in pairs if owner in self.survivors]
        dropped = [share for owner, share in pairs if owner not in self.survivors]
        return b"".join(survived + dropped)
