import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from imaging.errors import ImagingError
from imaging.networks import pretrained
from imaging.networks.pretrained import Source

NETWORK = {"stem.weight": (4, 1), "stem.bias": (4,), "body.norm.weight": (4,), "head.weight": (2, 4), "head.bias": (2,)}
PIN = "0" * 64


def test_all_is_loaded_and_what_is_frozen_is_not_trained():
    file = {**NETWORK, "body.norm.running_mean": (4,), "body.norm.num_batches_tracked": (), "other.weight": (3,)}
    made = pretrained.plan(NETWORK, file, Source(PIN, ignore=("other.",)), freeze=["stem.", "body"])
    assert made.loaded == {name: name for name in NETWORK}
    assert made.fresh == ()
    assert made.frozen == ("stem.weight", "stem.bias", "body.norm.weight")
    assert made.trained == ("head.weight", "head.bias")


def test_a_new_head_is_skipped_and_names_are_mapped_by_their_longest_prefix():
    file = {"net.a.weight": (4, 1), "net.a.bias": (4,), "net.norm.weight": (4,), "head.weight": (9, 4)}
    source = Source(PIN, {"net.": "body.", "net.a.": "stem."}, ("head.",))
    made = pretrained.plan(NETWORK, file, source)
    assert made.loaded == {
        "stem.weight": "net.a.weight",
        "stem.bias": "net.a.bias",
        "body.norm.weight": "net.norm.weight",
    }
    assert made.fresh == ("head.weight", "head.bias")
    assert made.trained == tuple(NETWORK)


@given(st.sets(st.sampled_from(sorted(NETWORK))), st.sets(st.sampled_from(sorted(NETWORK)), max_size=4))
def test_every_parameter_is_in_one_part(skip, freeze):
    made = pretrained.plan(NETWORK, NETWORK, Source(PIN, skip=tuple(skip)), sorted(freeze))
    assert sorted([*made.loaded, *made.fresh]) == sorted([*made.frozen, *made.trained]) == sorted(NETWORK)
    assert set(made.fresh) == skip
    assert set(made.frozen) == freeze


@pytest.mark.parametrize(
    ("file", "source", "freeze", "code"),
    [
        ({}, Source(PIN), (), "pretrained.missing"),
        (NETWORK | {"more": (1,)}, Source(PIN), (), "pretrained.unused"),
        (NETWORK | {"more\x1b[2J": (1,)}, Source(PIN), (), "pretrained.unused"),
        (NETWORK | {"head.bias": (3,)}, Source(PIN), (), "pretrained.shape"),
        (NETWORK | {"other.bias": (2,)}, Source(PIN, {"other": "head"}), (), "pretrained.two_names"),
        (NETWORK, Source(PIN, {"other": "head"}), (), "pretrained.prefix"),
        (NETWORK, Source(PIN, skip=("other",)), (), "pretrained.prefix"),
        (NETWORK, Source(PIN, ignore=("other",)), (), "pretrained.prefix"),
        (NETWORK, Source(PIN), ("other",), "pretrained.prefix"),
        (NETWORK, Source(PIN), ("stem", "body", "head"), "pretrained.all_frozen"),
        (NETWORK, Source(PIN), ("",), "pretrained.all_frozen"),
    ],
)
def test_what_does_not_fit_is_refused(file, source, freeze, code):
    with pytest.raises(ImagingError) as caught:
        pretrained.plan(NETWORK, file, source, freeze)
    assert caught.value.code == code
    assert "\x1b" not in str(caught.value)


def test_a_file_and_what_the_study_says_of_it_belong_together():
    for arguments in ((NETWORK, NETWORK, None), (NETWORK, None, Source(PIN))):
        with pytest.raises(RuntimeError):
            pretrained.plan(*arguments)
    assert pretrained.plan(NETWORK).fresh == tuple(NETWORK)


@pytest.fixture
def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.GroupNorm(1, 2))


@pytest.fixture
def store(tmp_path):
    def store(tensors):
        data = tensors if isinstance(tensors, bytes) else save(tensors)
        path = tmp_path / "start.safetensors"
        path.write_bytes(data)
        return path, hashlib.sha256(data).hexdigest()

    return store


def tensors(network, dtype=np.float16):
    return {name: np.full(weight.shape, 0.5, dtype) for name, weight in network.named_parameters()}


def load(network, path, pin):
    read = pretrained.read(path, pin)
    found = {name: array.shape for name, array in read.items()}
    pretrained.fill(network, read, pretrained.plan(pretrained.shapes(network), found, Source(pin)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_pinned_file_fills_the_network(network, store, dtype):
    load(network, *store(tensors(network, dtype)))
    assert all(weight.dtype == torch.float32 and (weight == 0.5).all() for weight in network.parameters())


def test_another_file_is_refused_before_it_is_parsed(network, store, tmp_path, monkeypatch):
    path, pin = store(tensors(network))
    altered = bytearray(path.read_bytes())
    altered[-1] ^= 1
    path.write_bytes(altered)
    for stored, code in [
        (lambda: (path, pin), "pretrained.digest"),
        (lambda: (tmp_path / "absent", pin), "pretrained.unreadable"),
        (lambda: store(b"\x80\x04."), "pretrained.format"),
        (lambda: store((2**40).to_bytes(8, "little") + b"{}"), "pretrained.format"),
    ]:
        with pytest.raises(ImagingError) as caught:
            pretrained.read(*stored())
        assert caught.value.code == code
    monkeypatch.setattr(pretrained, "MAX_BYTES", 3)
    with pytest.raises(ImagingError) as caught:
        pretrained.read(*store(tensors(network)))
    assert caught.value.code == "pretrained.too_large"


@pytest.mark.parametrize("value", [np.float32("nan"), np.float64(1e300), np.int64(1)])
def test_a_weight_that_is_no_number_leaves_the_network_as_it_was(network, store, value):
    before = [weight.clone() for weight in network.parameters()]
    bad = tensors(network)
    bad["1.bias"] = np.full(2, value)
    with pytest.raises(ImagingError) as caught:
        load(network, *store(bad))
    assert caught.value.code == "pretrained.value"
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
