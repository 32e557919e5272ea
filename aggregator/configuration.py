"""The aggregator's local configuration, `aggregator.yaml` in its state directory."""

from pydantic import Field

from privacy.channel.limits import Allowance
from privacy.configuration import Strict
from privacy.learning import Name


class AggregatorConfig(Strict):
    """Limits of this machine; what all parties agree on is in the study.

    `max_upload_bytes` bounds one silo's upload of one round: a study with larger ones is not served. A silo has at most
    `calls_at_a_time` calls (a wait for the others is one; a connection carries 8) and `calls_per_second` on average;
    threads are kept for the calls of all silos of the study. `stall_seconds` ends a call whose next message does not
    come, or is not taken, for so long; an upload or download goes on later where it was. `one_way_tls` names the silos
    whose proxies open TLS: they alone may call at `--one-way-listen`, where each message is signed instead of the line.
    """

    max_upload_bytes: int = Field(default=2 * 2**30, ge=2**16, le=2**40)
    calls_at_a_time: int = Field(default=8, ge=4, le=32)
    calls_per_second: int = Field(default=100, ge=10, le=10_000)
    stall_seconds: int = Field(default=60, ge=1, le=3600)
    one_way_tls: tuple[Name, ...] = Field(default=(), max_length=64)

    @property
    def allowance(self) -> Allowance:
        """The share of each silo."""
        return Allowance(
            calls=self.calls_at_a_time, calls_per_second=self.calls_per_second, stall_seconds=self.stall_seconds
        )
