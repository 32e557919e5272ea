"""The one typed error of `imaging`.

The message is one sentence that says what is wrong and what to do. It never holds a patient value, a
path or a UID: what it points at is named by a CSV row number, a parameter of the public study or a code.
"""


class ImagingError(Exception):
    """Images, labels or a study's imaging part cannot be used as given.

    Args:
        message: one sentence: what is wrong and what to do.
        code: stable dotted code, `<area>.<what>`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
