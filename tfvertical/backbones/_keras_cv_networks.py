"""The shapes of KerasCV's networks, so that they can be built where its presets cannot be fetched.

KerasCV keeps even the sizes of its networks on its hub. The numbers here are those of the papers. Where KerasCV
publishes how many parameters a preset has, ResNet, EfficientNetV2 and CSPDarkNet have just as many; EfficientNetV1 and
Lite have 0.01 to 0.04 % fewer (Lite0 as many as its checkpoint), MobileNetV3 0.1 and 0.6 % more.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Network(NamedTuple):
    """A class of `keras_cv.models`, its arguments, and the picture size (pixels) it was published with."""

    cls: str
    arguments: dict[str, Any]
    size: int


def _stacks(names: str, *stages: tuple[Any, ...]) -> dict[str, list[Any]]:
    """One row a stage, one column an argument `stackwise_…`."""
    columns = zip(names.split(), zip(*stages, strict=True), strict=True)
    return {f"stackwise_{name}": list(column) for name, column in columns}


def _resnets() -> dict[str, Network]:
    """He et al. 2015 and 2016."""
    found = {}
    for depth, blocks in (
        (18, (2, 2, 2, 2)),
        (34, (3, 4, 6, 3)),
        (50, (3, 4, 6, 3)),
        (101, (3, 4, 23, 3)),
        (152, (3, 8, 36, 3)),
    ):
        arguments = {
            "stackwise_filters": [64, 128, 256, 512],
            "stackwise_blocks": list(blocks),
            "stackwise_strides": [1, 2, 2, 2],
            "block_type": "block" if depth >= 50 else "basic_block",
        }
        found[f"resnet{depth}"] = Network("ResNetBackbone", arguments, 224)
        found[f"resnet{depth}_v2"] = Network("ResNetV2Backbone", arguments, 224)
    return found


def _efficientnets() -> dict[str, Network]:
    """Tan and Le 2019; Lite leaves out squeeze-and-excite, and keeps the first and the last stage unscaled."""
    stages = _stacks(
        "kernel_sizes num_repeats input_filters output_filters expansion_ratios strides",
        (3, 1, 32, 16, 1, 1),
        (3, 2, 16, 24, 6, 2),
        (5, 2, 24, 40, 6, 2),
        (3, 3, 40, 80, 6, 2),
        (5, 3, 80, 112, 6, 1),
        (5, 4, 112, 192, 6, 2),
        (3, 1, 192, 320, 6, 1),
    )
    scaling = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1))
    sizes, lite_sizes = (224, 240, 260, 300, 380, 456, 528, 600), (224, 240, 260, 280, 300)
    found = {}
    for number, (width, depth) in enumerate(scaling):
        arguments = {**stages, "width_coefficient": width, "depth_coefficient": depth}
        squeezed = {**arguments, "stackwise_squeeze_and_excite_ratios": [0.25] * 7}
        found[f"efficientnetv1_b{number}"] = Network("EfficientNetV1Backbone", squeezed, sizes[number])
        if number < len(lite_sizes):
            found[f"efficientnetlite_b{number}"] = Network("EfficientNetLiteBackbone", arguments, lite_sizes[number])
    return found


_V2_COLUMNS: Final = (
    "kernel_sizes num_repeats input_filters output_filters "
    "expansion_ratios squeeze_and_excite_ratios strides conv_types"
)


def _efficientnets_v2() -> dict[str, Network]:
    """Tan and Le 2021."""
    b = (
        (3, 1, 32, 16, 1, 0, 1, "fused"),
        (3, 2, 16, 32, 4, 0, 2, "fused"),
        (3, 2, 32, 48, 4, 0, 2, "fused"),
        (3, 3, 48, 96, 4, 0.25, 2, "unfused"),
        (3, 5, 96, 112, 6, 0.25, 1, "unfused"),
        (3, 8, 112, 192, 6, 0.25, 2, "unfused"),
    )
    s = (
        (3, 2, 24, 24, 1, 0, 1, "fused"),
        (3, 4, 24, 48, 4, 0, 2, "fused"),
        (3, 4, 48, 64, 4, 0, 2, "fused"),
        (3, 6, 64, 128, 4, 0.25, 2, "unfused"),
        (3, 9, 128, 160, 6, 0.25, 1, "unfused"),
        (3, 15, 160, 256, 6, 0.25, 2, "unfused"),
    )
    m = (
        (3, 3, 24, 24, 1, 0, 1, "fused"),
        (3, 5, 24, 48, 4, 0, 2, "fused"),
        (3, 5, 48, 80, 4, 0, 2, "fused"),
        (3, 7, 80, 160, 4, 0.25, 2, "unfused"),
        (3, 14, 160, 176, 6, 0.25, 1, "unfused"),
        (3, 18, 176, 304, 6, 0.25, 2, "unfused"),
        (3, 5, 304, 512, 6, 0.25, 1, "unfused"),
    )
    large = (
        (3, 4, 32, 32, 1, 0, 1, "fused"),
        (3, 7, 32, 64, 4, 0, 2, "fused"),
        (3, 7, 64, 96, 4, 0, 2, "fused"),
        (3, 10, 96, 192, 4, 0.25, 2, "unfused"),
        (3, 19, 192, 224, 6, 0.25, 1, "unfused"),
        (3, 25, 224, 384, 6, 0.25, 2, "unfused"),
        (3, 7, 384, 640, 6, 0.25, 1, "unfused"),
    )
    rows = (
        ("b0", b, 1.0, 1.0, 224),
        ("b1", b, 1.0, 1.1, 240),
        ("b2", b, 1.1, 1.2, 260),
        ("b3", b, 1.2, 1.4, 300),
        ("s", s, 1.0, 1.0, 384),
        ("m", m, 1.0, 1.0, 480),
        ("l", large, 1.0, 1.0, 480),
    )
    return {
        f"efficientnetv2_{name}": Network(
            "EfficientNetV2Backbone",
            {**_stacks(_V2_COLUMNS, *stages), "width_coefficient": width, "depth_coefficient": depth},
            size,
        )
        for name, stages, width, depth, size in rows
    }


def _mobilenets() -> dict[str, Network]:
    """Howard et al. 2019: one row a block."""
    columns = "expansion filters kernel_size stride se_ratio activation"
    small = (
        (1, 16, 3, 2, 0.25, "relu"),
        (72 / 16, 24, 3, 2, None, "relu"),
        (88 / 24, 24, 3, 1, None, "relu"),
        (4, 40, 5, 2, 0.25, "hard_swish"),
        (6, 40, 5, 1, 0.25, "hard_swish"),
        (6, 40, 5, 1, 0.25, "hard_swish"),
        (3, 48, 5, 1, 0.25, "hard_swish"),
        (3, 48, 5, 1, 0.25, "hard_swish"),
        (6, 96, 5, 2, 0.25, "hard_swish"),
        (6, 96, 5, 1, 0.25, "hard_swish"),
        (6, 96, 5, 1, 0.25, "hard_swish"),
    )
    large = (
        (1, 16, 3, 1, None, "relu"),
        (4, 24, 3, 2, None, "relu"),
        (3, 24, 3, 1, None, "relu"),
        (3, 40, 5, 2, 0.25, "relu"),
        (3, 40, 5, 1, 0.25, "relu"),
        (3, 40, 5, 1, 0.25, "relu"),
        (6, 80, 3, 2, None, "hard_swish"),
        (2.5, 80, 3, 1, None, "hard_swish"),
        (2.3, 80, 3, 1, None, "hard_swish"),
        (2.3, 80, 3, 1, None, "hard_swish"),
        (6, 112, 3, 1, 0.25, "hard_swish"),
        (6, 112, 3, 1, 0.25, "hard_swish"),
        (6, 160, 5, 2, 0.25, "hard_swish"),
        (6, 160, 5, 1, 0.25, "hard_swish"),
        (6, 160, 5, 1, 0.25, "hard_swish"),
    )
    return {
        "mobilenet_v3_small": Network("MobileNetV3Backbone", _stacks(columns, *small), 224),
        "mobilenet_v3_large": Network("MobileNetV3Backbone", _stacks(columns, *large), 224),
    }


def _others() -> dict[str, Network]:
    """DenseNet (Huang et al. 2017), CSPDarkNet as in YOLOX (Ge et al. 2021), VGG (Simonyan and Zisserman 2014)."""
    found = {}
    for depth, repeats in ((121, (6, 12, 24, 16)), (169, (6, 12, 32, 32)), (201, (6, 12, 48, 32))):
        found[f"densenet{depth}"] = Network("DenseNetBackbone", {"stackwise_num_repeats": list(repeats)}, 224)
    for name, width, depth in (("tiny", 48, 1), ("s", 64, 1), ("m", 96, 2), ("l", 128, 3), ("xl", 170, 4)):
        arguments = {
            "stackwise_channels": [width, 2 * width, 4 * width, 8 * width],
            "stackwise_depth": [depth, 3 * depth, 3 * depth, depth],
        }
        found[f"csp_darknet_{name}"] = Network("CSPDarkNetBackbone", arguments, 224)
    found["vgg16"] = Network("VGG16Backbone", {"include_top": False}, 224)
    return found


NETWORKS: Final[dict[str, Network]] = {
    **_resnets(),
    **_efficientnets(),
    **_efficientnets_v2(),
    **_mobilenets(),
    **_others(),
}
