"""Allowed networks that give a few values for each voxel: segmentation."""

from collections.abc import Mapping
from types import MappingProxyType

from imaging.networks.allowed import GROUPS, Allowed, Json, Problem, alike, sized
from imaging.parameters import Flag, Integer, Integers, Values

_INSTANCE: Json = ["instance", {"affine": True}]
"""Statistics of one image alone; MONAI's InstanceNorm keeps no running ones."""


def _ends(problem: Problem) -> dict[str, Json]:
    return {
        "spatial_dims": problem.dimensions,
        "in_channels": problem.channels,
        "out_channels": problem.outputs,
    }


def _unet(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "widths", "strides", less=1)
    return {
        **_ends(problem),
        "channels": p.integers("widths"),
        "strides": p.integers("strides"),
        "kernel_size": p.integer("kernel"),
        "up_kernel_size": p.integer("kernel"),
        "num_res_units": p.integer("residual_units"),
        "norm": _INSTANCE if p.flag("affine") else "instance",
    }


def _basic_unet(p: Values, problem: Problem) -> Mapping[str, Json]:
    leaky: Json = ["leakyrelu", {"negative_slope": 0.1, "inplace": False}]
    return {**_ends(problem), "features": p.integers("widths"), "act": leaky, "norm": _INSTANCE}


def _attention_unet(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "widths", "strides", less=1)
    return {**_ends(problem), "channels": p.integers("widths"), "strides": p.integers("strides")}


def _segresnet(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "blocks_down", "blocks_up", less=1)
    groups = p.integer("norm_groups")
    return {
        **_ends(problem),
        "init_filters": p.integer("init_filters"),
        "blocks_down": p.integers("blocks_down"),
        "blocks_up": p.integers("blocks_up"),
        "norm": ["group", {"num_groups": groups}],
        "act": ["relu", {"inplace": False}],
    }


def _dynunet(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "widths", "strides")
    strides = p.integers("strides")
    kernels: list[Json] = [p.integer("kernel")] * len(strides)
    return {
        **_ends(problem),
        "kernel_size": kernels,
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": p.integers("widths"),
        "norm_name": _INSTANCE,
        "act_name": ["leakyrelu", {"inplace": False, "negative_slope": 0.01}],
        "res_block": p.flag("residual"),
    }


def _unetr(p: Values, problem: Problem) -> Mapping[str, Json]:
    return {
        **_ends(problem),
        "img_size": sized(p, problem, "size"),
        "feature_size": p.integer("feature_size"),
        "hidden_size": p.integer("hidden_per_head") * p.integer("heads"),
        "mlp_dim": p.integer("mlp"),
        "num_heads": p.integer("heads"),
    }


def _swin(p: Values, problem: Problem) -> Mapping[str, Json]:
    alike(p, "depths", "heads")
    return {
        **_ends(problem),
        "depths": p.integers("depths"),
        "num_heads": p.integers("heads"),
        "window_size": p.integer("window"),
        "feature_size": p.integer("feature_size"),
    }


SEGMENTERS: Mapping[str, Allowed] = MappingProxyType(
    {
        "unet": Allowed(
            {
                "widths": Integers(1, 1024, 2, 8, (16, 32, 64, 128, 256)),
                "strides": Integers(1, 4, 1, 7, (2, 2, 2, 2)),
                "kernel": Integer(1, 7, 3, odd=True),
                "residual_units": Integer(0, 4, 2),
                "affine": Flag(False),
            },
            "UNet",
            _unet,
            dense=True,
        ),
        "basic-unet": Allowed(
            {"widths": Integers(1, 1024, 6, 6, (32, 32, 64, 128, 256, 32))},
            "BasicUNet",
            _basic_unet,
            dense=True,
        ),
        "attention-unet": Allowed(
            {
                "widths": Integers(1, 1024, 2, 8, (16, 32, 64, 128, 256)),
                "strides": Integers(1, 4, 1, 7, (2, 2, 2, 2)),
                "norm_groups": GROUPS,
            },
            "AttentionUnet",
            _attention_unet,
            dense=True,
        ),
        "segresnet": Allowed(
            {
                "init_filters": Integer(1, 256, 8),
                "blocks_down": Integers(1, 16, 2, 8, (1, 2, 2, 4)),
                "blocks_up": Integers(1, 16, 1, 7, (1, 1, 1)),
                "norm_groups": GROUPS,
            },
            "SegResNet",
            _segresnet,
            dense=True,
        ),
        "dynunet": Allowed(
            {
                "widths": Integers(1, 1024, 3, 8, (32, 64, 128, 256)),
                "strides": Integers(1, 4, 3, 8, (1, 2, 2, 2)),
                "kernel": Integer(1, 7, 3, odd=True),
                "residual": Flag(False),
            },
            "DynUNet",
            _dynunet,
            dense=True,
        ),
        "unetr": Allowed(
            {
                "size": Integers(16, 1024, 2, 3),
                "feature_size": Integer(1, 256, 16),
                "heads": Integer(1, 32, 12),
                "hidden_per_head": Integer(4, 128, 64),
                "mlp": Integer(4, 8192, 3072),
            },
            "UNETR",
            _unetr,
            dense=True,
        ),
        "swin-unetr": Allowed(
            {
                "depths": Integers(1, 6, 4, 4, (2, 2, 2, 2)),
                "heads": Integers(1, 48, 4, 4, (3, 6, 12, 24)),
                "window": Integer(2, 16, 7),
                "feature_size": Integer(12, 48, 24),
            },
            "SwinUNETR",
            _swin,
            dense=True,
            meta=False,
        ),
    }
)
"""`unet` (Ronneberger et al. 2015; MONAI's with residual units), `basic-unet` (plain, six widths),
`attention-unet` (Oktay et al. 2018), `segresnet` (Myronenko 2018), `dynunet` (nnU-Net's, Isensee et al. 2021),
`unetr` (Hatamizadeh et al. 2022; for one size), `swin-unetr` (Hatamizadeh et al. 2022; sizes divisible by 32, of at
least 64).
"""
