import pytest
import torch
from torch.func import functional_call, grad, vmap

from imaging.errors import ImagingError
from imaging.networks import building
from imaging.tasks import kinds

SMALL = [
    ("resnet", {"layers": [1, 1, 1, 1], "widths": [8, 8, 16, 16], "stem_kernel": 3, "max_pool": False}),
    ("resnet", {"block": "bottleneck", "layers": [1, 2, 1, 1], "widths": [4, 4, 8, 8], "norm_groups": 4}),
    ("densenet", {"init_features": 8, "growth_rate": 4, "block_config": [2, 2], "bottleneck": 2, "norm_groups": 4}),
    ("densenet", {"init_features": 8, "growth_rate": 8, "block_config": [1], "activation": "gelu"}),
    ("classifier", {"size": [32, 32], "widths": [8, 16], "strides": [2, 2]}),
    ("classifier", {"size": [32, 32], "widths": [8, 16], "strides": [2, 2], "residual_units": 2, "activation": "elu"}),
    ("efficientnet", {"width": 0.1, "depth": 0.3, "image_size": 32}),
]


@pytest.mark.parametrize(("name", "parameters"), SMALL)
def test_gradient_under_vmap_is_each_patients_own(name, parameters):
    network = building.build(name, parameters, seed=1).double()
    loss = kinds.task("binary_classification").loss
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 1, 32, 32, dtype=torch.float64, generator=generator)
    targets = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    weights = {key: value.detach() for key, value in network.named_parameters()}

    def one(weights, image, target):
        return loss(functional_call(network, weights, (image[None],)), target[None])

    together = vmap(grad(one), in_dims=(None, 0, 0))(weights, images, targets)
    for index in range(3):
        network.zero_grad()
        loss(network(images[index : index + 1]), targets[index : index + 1]).backward()
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(together[key][index], parameter.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), SMALL)
def test_network_has_no_batch_statistics_no_state_and_nothing_in_place(name, parameters):
    network = building.build(name, parameters, seed=1)
    building.check(network, (1, 32, 32))
    assert network.training
    assert not list(network.buffers())
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in network.parameters())
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.modules())
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert any(isinstance(module, torch.nn.GroupNorm) for module in network.modules())
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 1)


@pytest.mark.parametrize("name", ["resnet", "densenet", "efficientnet"])
def test_defaults_build_the_published_network(name):
    millions = {"resnet": 11.2, "densenet": 6.9, "efficientnet": 4.0}[name]
    network = building.build(name, {}, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_the_seed_alone_decides_the_weights_and_global_randomness_is_untouched():
    name, parameters = SMALL[2]
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = building.build(name, parameters, seed=7).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    second = building.build(name, parameters, seed=7).state_dict()
    other = building.build(name, parameters, seed=8).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "parameters", "code"),
    [
        ("unet", {}, "models.task"),
        ("senet", {}, "models.unknown"),
        ("__import__", {}, "models.unknown"),
        ("densenet", {"pretrained": True}, "parameters.unknown"),
        ("densenet", {"growth_rate": 0}, "parameters.invalid"),
        ("densenet", {"init_features": 12}, "models.groups"),
        ("resnet", {"widths": [8, 8, 8]}, "parameters.invalid"),
        ("resnet", {"widths": [8, 8, 8, 9]}, "models.groups"),
        ("resnet", {"stem_kernel": 4}, "parameters.invalid"),
        ("resnet", {"layers": [64, 64, 64, 64], "widths": [2048, 2048, 2048, 2048]}, "models.size"),
        ("classifier", {"size": [32, 32], "widths": [8, 8], "strides": [2]}, "parameters.invalid"),
        ("classifier", {"widths": [8, 8], "strides": [2, 2]}, "parameters.missing"),
    ],
)
def test_what_is_not_allowed_is_refused(name, parameters, code):
    with pytest.raises(ImagingError) as caught:
        building.build(name, parameters, seed=0)
    assert caught.value.code == code


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ImagingError, match="does not take images of 64 x 64") as caught:
        building.check(building.build(*SMALL[4], seed=0), (1, 64, 64))
    assert caught.value.code == "models.shape"


def test_a_norm_that_would_erase_its_input_is_refused():
    network = building.build("resnet", {"layers": [1, 1, 1, 1], "widths": [8, 8, 8, 8]}, seed=0)
    building.check(network, (1, 64, 64))
    with pytest.raises(ImagingError, match="one value a group"):
        building.check(network, (1, 32, 32))
