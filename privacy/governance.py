"""Who answers for a study and on what ground: references that people keep elsewhere, as a part of the signed study.

Nothing here is checked or enforced; a report repeats it under the study's signature, and says "not shown" where a field
is empty. Never a patient's data.
"""

from pydantic import Field, field_validator

from privacy.configuration import Strict

_LONGEST = 500


class Governance(Strict):
    """References for readers of the report, each a text of a line or two.

    `controller` and `processor` name who they are (GDPR 4(7), 4(8)), `legal_basis` the ground for processing,
    `ethics_approval` the IRB's or ethics committee's number, `impact_assessment` the DPIA's, `agreements` data-use or
    business-associate agreements, `data_permit` a permit of a health data access body, `retention` how long what is
    kept, `transfers` to third countries, `contacts` people such as data protection officers.
    """

    controller: str = Field(default="", max_length=_LONGEST)
    processor: str = Field(default="", max_length=_LONGEST)
    legal_basis: str = Field(default="", max_length=_LONGEST)
    ethics_approval: str = Field(default="", max_length=_LONGEST)
    impact_assessment: str = Field(default="", max_length=_LONGEST)
    agreements: str = Field(default="", max_length=_LONGEST)
    data_permit: str = Field(default="", max_length=_LONGEST)
    retention: str = Field(default="", max_length=_LONGEST)
    transfers: str = Field(default="", max_length=_LONGEST)
    contacts: tuple[str, ...] = Field(default=(), max_length=20)

    @field_validator("*")
    @classmethod
    def _printable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        texts = (value,) if isinstance(value, str) else value
        if any(len(text) > _LONGEST or not text.isprintable() for text in texts):
            raise ValueError(f"must be printable text on one line, of at most {_LONGEST} characters")
        return value
