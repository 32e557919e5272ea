"""The parts of an upload as they are sent, whole or torn, and the codes under which one is refused."""

from collections.abc import Iterable, Iterator

import pytest

from privacy.errors import CollegiumError
from tests.aggregator.hub import Hub
from tests.aggregator.made_up_upload import MadeUpUpload

LONG = 1_500_000
"""Values of an upload of several frames."""


def parts_of(hub: Hub, upload: MadeUpUpload) -> list[bytes]:
    return upload.parts(hub.members.seal(1, upload.header))


def broken_off(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from parts
    raise ConnectionResetError


def refused(hub: Hub, upload: MadeUpUpload, sender: int | None = None) -> str:
    """The code under which an upload is refused by its header; nothing of it is left, and the right one passes."""
    with pytest.raises(CollegiumError) as caught:
        hub.upload(upload, sender)
    assert not hub.stored("rounds/*/*/*")
    hub.upload(MadeUpUpload.random(hub, 1))
    return caught.value.code


def spoilt(hub: Hub, upload: MadeUpUpload, stored: int) -> str:
    """The code under which pieces that are not what their header says are refused; the `stored` before them stay."""
    with pytest.raises(CollegiumError) as caught:
        hub.upload(upload)
    assert not hub.stored("rounds/*/upload-*")
    assert hub.begin(1, upload.header) == stored
    return caught.value.code
