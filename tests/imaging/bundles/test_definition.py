import hashlib
import json

import pytest
import yaml

from imaging.bundles import definition
from imaging.errors import ImagingError

UNET = {"_target_": "UNet", "spatial_dims": 3, "channels": [4, 8], "norm": ["batch", {"affine": True}], "dropout": 0.5}
ARGUMENTS = {key: value for key, value in UNET.items() if key != "_target_"}


@pytest.fixture
def store(tmp_path):
    def store(content, name="inference.json"):
        path = tmp_path / name
        if not isinstance(content, bytes):
            content = (yaml.safe_dump if name.endswith("ml") else json.dumps)(content).encode()
        path.write_bytes(content)
        return path

    return store


@pytest.mark.parametrize("name", ["inference.json", "inference.yaml", "inference.yml"])
@pytest.mark.parametrize("target", ["UNet", "monai.networks.nets.UNet", "monai.networks.nets.unet.UNet"])
def test_a_plain_network_is_read(store, name, target):
    path = store({"imports": ["$import os"], "network_def": UNET | {"_target_": target, "_desc_": "a network"}}, name)
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    read = definition.read(path, pin)
    assert (read.network, read.arguments, read.sha256) == ("UNet", ARGUMENTS, pin)


def test_references_to_plain_values_are_followed(store):
    config = {
        "net": UNET | {"channels": "@sizes::widths", "spatial_dims": "@sizes#dims#1", "dropout": "@rate"},
        "network_def": "@net",
        "sizes": {"widths": ["@first", 8], "dims": [2, 3]},
        "first": 4,
        "rate": 0.5,
    }
    assert definition.read(store(config)).arguments == ARGUMENTS


def network(**changes):
    return {"network_def": UNET | changes}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (network(channels="$[4, 8]"), "bundle.expression"),
        (network(channels=["$__import__('os').abort()"]), "bundle.expression"),
        (network(norm={"deep": {"deeper": "$1"}}), "bundle.expression"),
        (network(channels="@widths") | {"widths": "$[4, 8]"}, "bundle.expression"),
        (network(channels="%other.json"), "bundle.expression"),
        (network(channels="x%y"), "bundle.expression"),
        ({"network_def": "$import os"}, "bundle.expression"),
        (network(_requires_="$1"), "bundle.expression"),
        (network(_mode_="callable"), "bundle.expression"),
        (network(_disabled_=True), "bundle.expression"),
        (network(norm={"_target_": "os.system"}), "bundle.expression"),
        (network(norm="@norm") | {"norm": {"_target_": "os.system"}}, "bundle.expression"),
        (network(channels="@absent"), "bundle.reference"),
        (network(channels="@sizes::9") | {"sizes": [1]}, "bundle.reference"),
        (network(channels="@a") | {"a": "@b", "b": "@a"}, "bundle.reference"),
        (network(channels="@network_def::channels"), "bundle.reference"),
        (network(channels="@a@b"), "bundle.reference"),
        (network(channels="x @a"), "bundle.reference"),
        (network(channels=[0] * 10_000), "bundle.reference"),
        (network(_target_="os.system"), "bundle.target"),
        (network(_target_="monai.networks.nets.os.path.x"), "bundle.target"),
        (network(_target_="scripts.net.Net"), "bundle.target"),
        (network(_target_="monai.apps.download_url"), "bundle.target"),
        (network(_target_=["UNet"]), "bundle.target"),
        ({"network_def": ARGUMENTS}, "bundle.no_network"),
        ({"network_def": 3}, "bundle.no_network"),
        ({"network": UNET}, "bundle.no_network"),
        ([1], "bundle.format"),
    ],
)
@pytest.mark.parametrize("name", ["inference.json", "inference.yaml"])
def test_what_would_be_executed_or_is_not_plain_is_refused(store, config, code, name):
    with pytest.raises(ImagingError) as caught:
        definition.read(store(config, name))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"network_def": NaN}', "a.json"),
        (b'{"a": 1, "a": 2}', "a.json"),
        (b"[" * 100_000, "a.json"),
        (b"\xff", "a.json"),
        (b"{}", "a.py"),
        (b"a: 1\na: 2\n", "a.yaml"),
        (b"1: 2\n", "a.yaml"),
        (b"a: &x [1]\nb: *x\n", "a.yaml"),
        (b"a: !!python/object/apply:os.system [x]\n", "a.yaml"),
        (b"a: &x\n  <<: *x\n", "a.yaml"),
        (b"a: [" * 5_000, "a.yaml"),
    ],
)
def test_what_is_not_plain_data_is_refused(store, data, name):
    with pytest.raises(ImagingError) as caught:
        definition.read(store(data, name))
    assert caught.value.code == "bundle.format"


def test_numbers_are_finite_and_dates_are_none(store):
    for text in ("{network_def: {_target_: UNet, a: .inf}}", "{network_def: {_target_: UNet, a: 2024-01-01}}"):
        with pytest.raises(ImagingError) as caught:
            definition.read(store(text.encode(), "a.yaml"))
        assert caught.value.code == "bundle.format"


def test_another_file_is_refused(store, tmp_path, monkeypatch):
    path = store(network())
    for given, pin, code in [
        (path, "0" * 64, "bundle.digest"),
        (tmp_path / "absent.json", None, "bundle.unreadable"),
    ]:
        with pytest.raises(ImagingError) as caught:
            definition.read(given, pin)
        assert caught.value.code == code
    monkeypatch.setattr(definition, "MAX_BYTES", 10)
    with pytest.raises(ImagingError) as caught:
        definition.read(path)
    assert caught.value.code == "bundle.unreadable"
