"""Allowed networks that give a few values an image: classification and regression."""

from collections.abc import Mapping
from types import MappingProxyType

from imaging.networks.allowed import GROUPS, Allowed, Json, Problem, activation, alike, sized
from imaging.parameters import Choice, Flag, Integer, Integers, Number, Values

_ACTIVATION = Choice(("relu", "elu", "gelu"), "relu")
_EFFICIENTNET_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
"""The stages of EfficientNet-B0 in MONAI's notation."""


def _resnet(p: Values, problem: Problem) -> Mapping[str, Json]:
    return {
        "block": p.word("block"),
        "layers": p.integers("layers"),
        "block_inplanes": p.integers("widths"),
        "spatial_dims": problem.dimensions,
        "n_input_channels": problem.channels,
        "conv1_t_size": p.integer("stem_kernel"),
        "conv1_t_stride": p.integer("stem_stride"),
        "no_max_pool": not p.flag("max_pool"),
        "shortcut_type": "B",  # type A detaches the shortcut from the gradient
        "num_classes": problem.outputs,
        "bias_downsample": False,
        "act": ["relu", {"inplace": False}],
    }


def _densenet(p: Values, problem: Problem) -> Mapping[str, Json]:
    return {
        "spatial_dims": problem.dimensions,
        "in_channels": problem.channels,
        "out_channels": problem.outputs,
        "init_features": p.integer("init_features"),
        "growth_rate": p.integer("growth_rate"),
        "block_config": p.integers("block_config"),
        "bn_size": p.integer("bottleneck"),
        "act": activation(p),
    }


def _classifier(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "widths", "strides")
    return {
        "in_shape": [problem.channels, *sized(p, problem, "size")],
        "classes": problem.outputs,
        "channels": p.integers("widths"),
        "strides": p.integers("strides"),
        "kernel_size": p.integer("kernel"),
        "num_res_units": p.integer("residual_units"),
        "act": activation(p),
    }


def _efficientnet(p: Values, problem: Problem) -> Mapping[str, Json]:
    return {
        "blocks_args_str": list(_EFFICIENTNET_BLOCKS),
        "spatial_dims": problem.dimensions,
        "in_channels": problem.channels,
        "num_classes": problem.outputs,
        "width_coefficient": p.number("width"),
        "depth_coefficient": p.number("depth"),
        "image_size": p.integer("image_size"),
        "dropout_rate": 0.0,
        "drop_connect_rate": 0.0,
    }


def _vit(p: Values, problem: Problem) -> Mapping[str, Json]:
    return {
        "in_channels": problem.channels,
        "img_size": sized(p, problem, "size"),
        "patch_size": sized(p, problem, "patch"),
        "hidden_size": p.integer("hidden_per_head") * p.integer("heads"),
        "mlp_dim": p.integer("mlp"),
        "num_layers": p.integer("layers"),
        "num_heads": p.integer("heads"),
        "classification": True,
        "num_classes": problem.outputs,
        "post_activation": "none",  # any word but MONAI's "Tanh" leaves the logits as they are
        "spatial_dims": problem.dimensions,
    }


CLASSIFIERS: Mapping[str, Allowed] = MappingProxyType(
    {
        "resnet": Allowed(
            {
                "block": Choice(("basic", "bottleneck"), "basic"),
                "layers": Integers(1, 64, 4, 4, (2, 2, 2, 2)),
                "widths": Integers(1, 2048, 4, 4, (64, 128, 256, 512)),
                "stem_kernel": Integer(1, 15, 7, odd=True),
                "stem_stride": Integer(1, 8, 2),
                "max_pool": Flag(True),
                "norm_groups": GROUPS,
            },
            "ResNet",
            _resnet,
            norm=True,
        ),
        "densenet": Allowed(
            {
                "init_features": Integer(1, 512, 64),
                "growth_rate": Integer(1, 256, 32),
                "block_config": Integers(1, 64, 1, 8, (6, 12, 24, 16)),
                "bottleneck": Integer(1, 16, 4),
                "activation": _ACTIVATION,
                "norm_groups": GROUPS,
            },
            "DenseNet",
            _densenet,
            norm=True,
        ),
        "classifier": Allowed(
            {
                "size": Integers(8, 4096, 2, 3),
                "widths": Integers(1, 2048, 1, 10),
                "strides": Integers(1, 8, 1, 10),
                "kernel": Integer(1, 15, 3, odd=True),
                "residual_units": Integer(0, 8, 0),
                "activation": _ACTIVATION,
                "norm_groups": GROUPS,
            },
            "Classifier",
            _classifier,
            norm=True,
        ),
        "efficientnet": Allowed(
            {
                "width": Number(0.05, 4.3, 1.0),
                "depth": Number(0.05, 5.3, 1.0),
                "image_size": Integer(16, 1024, 224),
                "norm_groups": GROUPS,
            },
            "EfficientNet",
            _efficientnet,
            norm=True,
        ),
        "vit": Allowed(
            {
                "size": Integers(8, 4096, 2, 3),
                "patch": Integers(2, 128, 2, 3),
                "heads": Integer(1, 32, 12),
                "hidden_per_head": Integer(4, 128, 64),
                "mlp": Integer(4, 8192, 3072),
                "layers": Integer(1, 32, 12),
            },
            "ViT",
            _vit,
            first=True,
        ),
    }
)
"""`resnet` (He et al. 2016): blocks and widths of four stages, stem convolution, max-pooling after it.
`densenet` (Huang et al. 2017): stem width, growth, layers of each block, bottleneck factor.
`classifier`: plain strided convolutions with a linear layer on the last map, for one image size.
`efficientnet` (Tan & Le 2019): B0 scaled in width and depth.
`vit` (Dosovitskiy et al. 2021): for one image size, which the patch divides.
"""
