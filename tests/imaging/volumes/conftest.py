"""One volume that is read, or the reasons why none is."""

import pytest

from imaging.volumes import read
from tests.imaging.series import write
from tests.imaging.volumes.checked import codes


@pytest.fixture
def one(tmp_path):
    def one(datasets):
        reading = read(write(tmp_path, datasets))
        assert codes(reading) == []
        (source,) = reading.volumes
        return source

    return one


@pytest.fixture
def rejected(tmp_path):
    def rejected(datasets):
        reading = read(write(tmp_path, datasets))
        assert not reading.volumes
        assert len(reading.rejected) == len(datasets)
        return set(codes(reading))

    return rejected
