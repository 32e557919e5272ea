"""The aggregator's local configuration, `aggregator.yaml` in its state directory."""

from pydantic import Field

from privacy.configuration import Strict


class AggregatorConfig(Strict):
    """Limits of this machine; what all parties agree on is in the study.

    `max_upload_bytes` bounds one silo's upload of one round: a study with larger ones is not served. `threads` bounds
    the calls served at a time (a waiting silo holds one). `stall_seconds` ends an upload or download that stands still
    for so long; it goes on later where it was.
    """

    max_upload_bytes: int = Field(default=2 * 2**30, ge=2**16, le=2**40)
    threads: int = Field(default=64, ge=8, le=512)
    stall_seconds: int = Field(default=60, ge=1, le=3600)
