"""The error that names a silo: what a person acts on when a round stops, and what a ledger records."""

from privacy.errors import ProtocolError


class SiloFault(ProtocolError):
    """A silo of the roster sent under its signature what no honest silo sends. `silo` is its roster index."""

    def __init__(self, message: str, *, code: str, silo: int) -> None:
        super().__init__(f"{message}; silo {silo} of the roster is at fault, tell the consortium", code=code)
        self.silo = silo
