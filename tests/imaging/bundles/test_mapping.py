import numpy as np
import pytest
import torch
from monai.networks import nets

from imaging.bundles.definition import Definition
from imaging.bundles.mapping import start
from imaging.errors import ImagingError
from imaging.networks import building, pretrained
from imaging.networks.allowed import Problem

UNET = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
DENSENET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "init_features": 8, "block_config": [1, 1]}
RESNET = {
    "block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [4, 4, 8, 8], "spatial_dims": 2, "n_input_channels": 3,
    "num_classes": 2, "bias_downsample": False,
}  # fmt: skip
DYNUNET = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "kernel_size": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [1, [2, 2, 2], 2], "upsample_kernel_size": [2, [2, 2, 2]], "filters": [2, 4, 4],
    "norm_name": ["INSTANCE", {"affine": True}],
}  # fmt: skip
UNETR = {
    "in_channels": 1, "out_channels": 3, "img_size": 32, "feature_size": 2, "hidden_size": 12, "mlp_dim": 8,
    "num_heads": 3, "spatial_dims": 2,
}  # fmt: skip
SWIN = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "spatial_dims": 2, "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2], "use_checkpoint": True}  # fmt: skip
NETWORKS = [
    ("UNet", UNET | {"num_res_units": 1, "norm": "batch", "dropout": 0.2}, "unet", ("dropout", "norm"), {}),
    ("UNet", UNET | {"norm": ["INSTANCE", {}]}, "unet", (), {}),
    ("UNet", UNET | {"spatial_dims": 2, "kernel_size": [3, 3]}, "unet", (), {}),
    ("SegResNet", {"spatial_dims": 2, "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}, "segresnet", (), {}),
    ("SegResNet", {"init_filters": 4, "norm": ["group", {"num_groups": 2}], "dropout_prob": 0.1}, "segresnet",
     ("dropout_prob",), {}),
    ("DenseNet121", DENSENET, "densenet", ("norm",), {"norm_groups": 2}),
    ("densenet169", DENSENET | {"growth_rate": 16}, "densenet", ("norm",), {"norm_groups": 2}),
    ("ResNet", RESNET, "resnet", ("norm",), {"norm_groups": 2}),
    ("BasicUNet", {"spatial_dims": 2, "features": [2, 2, 4, 4, 4, 2]}, "basic-unet", (), {}),
    ("AttentionUnet", UNET | {"spatial_dims": 2, "dropout": 0.1}, "attention-unet", ("dropout",), {"norm_groups": 2}),
    ("DynUNet", DYNUNET, "dynunet", (), {}),
    ("UNETR", UNETR, "unetr", (), {}),
    ("SwinUNETR", SWIN | {"img_size": 64}, "swin-unetr", ("use_checkpoint",), {}),
]  # fmt: skip


@pytest.mark.parametrize(("network", "arguments", "model", "differences", "more"), NETWORKS)
def test_a_bundles_network_and_its_weights_become_one_of_ours(network, arguments, model, differences, more):
    found = start(Definition(network, arguments, ""))
    assert (found.model, found.differences) == (model, differences)
    ours = building.build(found.model, {**found.parameters, **more}, 1, found.problem)
    kept = {name: value for name, value in arguments.items() if (network, name) != ("SwinUNETR", "img_size")}
    theirs = getattr(nets, network)(**kept)
    # A layer that MONAI registers under two names is in its state twice; a file of weights holds it once.
    once = [name for name, _ in (*theirs.named_parameters(), *theirs.named_buffers())]
    tensors = {name: value.numpy() for name, value in theirs.state_dict().items() if name in once}
    shapes = {name: value.shape for name, value in tensors.items()}
    planned = pretrained.plan(pretrained.shapes(ours), shapes, pretrained.Source(""))
    assert planned.fresh == ()
    pretrained.fill(ours, tensors, planned)
    for name, parameter in ours.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), tensors[name])


def test_a_plain_network_gives_the_same_as_in_its_bundle():
    arguments = UNET | {"spatial_dims": 2, "num_res_units": 1}
    found = start(Definition("UNet", arguments, ""))
    assert found.problem == Problem(2, 1, 2, dense=True)
    torch.manual_seed(3)
    theirs = nets.UNet(**arguments).eval()
    ours = building.build(found.model, found.parameters, 1, found.problem).eval()
    tensors = {name: value.detach().numpy() for name, value in theirs.named_parameters()}
    shapes = {name: value.shape for name, value in tensors.items()}
    pretrained.fill(ours, tensors, pretrained.plan(pretrained.shapes(ours), shapes, pretrained.Source("")))
    image = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    torch.testing.assert_close(ours(image), theirs(image))


@pytest.mark.parametrize(
    ("network", "arguments", "code"),
    [
        ("VNet", {}, "bundle.network"),
        ("Absent", {}, "bundle.network"),
        ("densenet", {}, "bundle.network"),
        ("resnet18", {}, "bundle.network"),
        ("UNet", UNET | {"act": "relu"}, "bundle.argument"),
        ("UNet", UNET | {"bias": False}, "bundle.argument"),
        ("UNet", UNET | {"up_kernel_size": 5}, "bundle.argument"),
        ("UNet", UNET | {"adn_ordering": "NA"}, "bundle.argument"),
        ("UNet", UNET | {"spatial_dims": 1}, "bundle.argument"),
        ("UNet", UNET | {"spatial_dims": True}, "bundle.argument"),
        ("UNet", UNET | {"in_channels": "1"}, "bundle.argument"),
        ("UNet", UNET | {"unknown": 1}, "bundle.argument"),
        ("UNet", {**UNET, "\x1b[2J": 1}, "bundle.argument"),
        ("UNet", UNET | {"channels": "ab"}, "parameters.invalid"),
        ("UNet", UNET | {"channels": [4, 10**9]}, "parameters.invalid"),
        ("UNet", UNET | {"strides": [[1, 2, 2]]}, "parameters.invalid"),
        ("DynUNet", DYNUNET | {"deep_supervision": True}, "bundle.argument"),
        ("DynUNet", DYNUNET | {"filters": 5}, "parameters.invalid"),
        ("ResNet", RESNET | {"shortcut_type": "A"}, "bundle.argument"),
        ("SwinUNETR", SWIN | {"use_v2": True}, "bundle.argument"),
        ("UNETR", UNETR | {"num_heads": 5}, "bundle.argument"),
    ],
)
def test_what_is_built_otherwise_is_refused(network, arguments, code):
    with pytest.raises(ImagingError) as caught:
        start(Definition(network, arguments, ""))
    assert caught.value.code == code
    assert "\x1b" not in str(caught.value)
