import pytest

from imaging.deidentification import Option, Profile, Pseudonyms


@pytest.fixture
def names():
    return Pseudonyms(bytes(range(32)))


@pytest.fixture
def profile_with():
    """A profile with options: `profile_with("modified_dates", ..., keep={...})`."""

    def make(*options, **more):
        return Profile(options=frozenset(map(Option, options)), **more)

    return make
