"""The operations that may stand between layers: an allow-list of names, with the settings each may carry.

Three kinds of node become one kind, "Operation": Keras 3 operations (``keras.ops.mean``, ``x + 1``), Keras 2 TFOpLambda
and SlicingOpLambda (``tf.reduce_mean``), and the older TensorFlowOpLayer (a single graph node). The config of the
result is ``{"operation": NAME, …settings}``. `edgepack.backend.operation_table` holds one builder for each name and
never looks a name up anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edgepack import errors

_ELEMENTWISE_3: Final = """
Absolute Abs Add Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Ceil Copy Cos Cosh Divide DivideNoNan Equal Erf
Exp Expm1 Floor FloorDivide Greater GreaterEqual Less LessEqual Log Log10 Log1p Log2 LogicalAnd LogicalNot LogicalOr
LogicalXor Maximum Minimum Mod Multiply Negative NotEqual Power Reciprocal Rsqrt Sigmoid Sign Silu Sin Sinh
Softplus Softsign Sqrt Square StopGradient Subtract Tan Tanh TrueDivide Where Relu Relu6 Selu HardSigmoid
HardSilu HardTanh LogSigmoid TanhShrink SparsePlus SparseSigmoid GetItem Matmul Ravel
""".split()  # noqa: SIM905 (a list literal would be a hundred lines)

KERAS3: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_ELEMENTWISE_3, ()),
    "All": ("axis", "keepdims"),
    "Amax": ("axis", "keepdims"),
    "Amin": ("axis", "keepdims"),
    "Any": ("axis", "keepdims"),
    "Argmax": ("axis", "keepdims"),
    "Argmin": ("axis", "keepdims"),
    "AveragePool": ("pool_size", "strides", "padding"),
    "BroadcastTo": ("shape",),
    "Cast": ("dtype",),
    "Celu": ("alpha",),
    "Clip": ("x_min", "x_max"),
    "Concatenate": ("axis",),
    "ConvertToTensor": ("dtype",),
    "Cumsum": ("axis",),
    "DepthToSpace": ("block_size",),
    "Dot": (),
    "Einsum": ("subscripts",),
    "Elu": ("alpha",),
    "ExpandDims": ("axis",),
    "Flip": ("axis",),
    "Gelu": ("approximate",),
    "Glu": ("axis",),
    "HardShrink": ("threshold",),
    "Hstack": (),
    "LeakyRelu": ("negative_slope",),
    "LogSoftmax": ("axis",),
    "Logsumexp": ("axis", "keepdims"),
    "Max": ("axis", "keepdims"),
    "MaxPool": ("pool_size", "strides", "padding"),
    "Mean": ("axis", "keepdims"),
    "Min": ("axis", "keepdims"),
    "Moveaxis": ("source", "destination"),
    "Norm": ("ord", "axis", "keepdims"),
    "Normalize": ("axis", "order", "epsilon"),
    "OneHot": ("num_classes", "axis", "dtype"),
    "OnesLike": ("dtype",),
    "Pad": ("pad_width", "mode"),
    "Prod": ("axis", "keepdims"),
    "Repeat": ("repeats", "axis"),
    "Reshape": ("newshape",),
    "Resize": ("size", "interpolation", "antialias"),
    "Roll": ("shift", "axis"),
    "Slice": ("shape",),
    "SoftShrink": ("threshold",),
    "Softmax": ("axis",),
    "SpaceToDepth": ("block_size",),
    "Split": ("indices_or_sections", "axis"),
    "Squareplus": ("b",),
    "Squeeze": ("axis",),
    "Stack": ("axis",),
    "Std": ("axis", "keepdims"),
    "Sum": ("axis", "keepdims"),
    "Swapaxes": ("axis1", "axis2"),
    "Take": ("axis",),
    "Threshold": ("threshold", "default_value", "default"),
    "Tile": ("repeats",),
    "TopK": ("k", "sorted"),
    "Transpose": ("axes",),
    "Unstack": ("num", "axis"),
    "Var": ("axis", "keepdims"),
    "Vstack": (),
    "ZerosLike": ("dtype",),
}
"""Keras 3 operation classes with the settings of each."""

TENSORFLOW: Final = frozenset(
    """
__operators__.add __operators__.getitem batch_to_space broadcast_to cast clip_by_value compat.v1.gather
compat.v1.image.resize_bilinear compat.v1.image.resize_nearest_neighbor compat.v1.math.argmax
compat.v1.math.reduce_max compat.v1.math.reduce_mean compat.v1.math.reduce_sum compat.v1.nn.avg_pool
compat.v1.nn.softmax compat.v1.pad compat.v1.shape compat.v1.size compat.v1.squeeze compat.v1.transpose
compat.v1.where concat convert_to_tensor expand_dims fill gather identity image.resize image.resize_with_pad
linalg.matmul linalg.norm math.abs math.acos math.add math.argmax math.argmin math.asin math.atan math.atan2 math.ceil
math.cos math.cosh math.cumsum math.divide math.divide_no_nan math.equal math.erf math.exp math.expm1 math.floor
math.floordiv math.floormod math.greater math.greater_equal math.l2_normalize math.less math.less_equal math.log
math.log1p math.log_sigmoid math.logical_and math.logical_not math.logical_or math.maximum math.minimum math.multiply
math.multiply_no_nan math.negative math.not_equal math.pow math.reciprocal math.reduce_all math.reduce_any
math.reduce_logsumexp math.reduce_max math.reduce_mean math.reduce_min math.reduce_prod math.reduce_std
math.reduce_sum math.reduce_variance math.rint math.round math.rsqrt math.sigmoid math.sign math.sin math.sinh
math.softplus math.sqrt math.square math.squared_difference math.subtract math.tan math.tanh math.top_k math.truediv
nn.avg_pool2d nn.conv2d nn.depth_to_space nn.depthwise_conv2d nn.elu nn.gelu nn.l2_normalize nn.leaky_relu
nn.log_softmax nn.max_pool2d nn.relu nn.relu6 nn.selu nn.sigmoid nn.silu nn.softmax nn.softplus nn.softsign
nn.space_to_depth nn.tanh one_hot ones_like pad range rank repeat reshape reverse roll shape size slice split squeeze
stack stop_gradient strided_slice tile transpose unstack where zeros_like
""".split()  # noqa: SIM905 (a list literal would be a hundred lines)
)
"""Public TensorFlow functions, by the name that TFOpLambda writes."""

_TENSORFLOW_SAME: Final = {
    "abs": "math.abs",
    "add": "math.add",
    "cumsum": "math.cumsum",
    "divide": "math.divide",
    "equal": "math.equal",
    "exp": "math.exp",
    "floor": "math.floor",
    "greater": "math.greater",
    "less": "math.less",
    "linalg.l2_normalize": "math.l2_normalize",
    "logical_and": "math.logical_and",
    "math.log_softmax": "nn.log_softmax",
    "math.mod": "math.floormod",
    "math.softmax": "nn.softmax",
    "nn.swish": "nn.silu",
    "math.softsign": "nn.softsign",
    "matmul": "linalg.matmul",
    "maximum": "math.maximum",
    "minimum": "math.minimum",
    "multiply": "math.multiply",
    "negative": "math.negative",
    "nn.l2_normalize": "math.l2_normalize",
    "norm": "linalg.norm",
    "not_equal": "math.not_equal",
    "pow": "math.pow",
    "reduce_max": "math.reduce_max",
    "reduce_mean": "math.reduce_mean",
    "reduce_min": "math.reduce_min",
    "reduce_prod": "math.reduce_prod",
    "reduce_sum": "math.reduce_sum",
    "round": "math.round",
    "sigmoid": "math.sigmoid",
    "sign": "math.sign",
    "sqrt": "math.sqrt",
    "square": "math.square",
    "subtract": "math.subtract",
    "tanh": "math.tanh",
    "truediv": "math.truediv",
}

_HARMLESS: Final = ("name", "trainable", "data_format", "fill_mode", "fill_value")

NODES: Final[dict[str, str]] = {
    "Abs": "math.abs",
    "Add": "math.add",
    "AddV2": "math.add",
    "Ceil": "math.ceil",
    "Cos": "math.cos",
    "Cast": "Cast",
    "ConcatV2": "ConcatV2",
    "Div": "math.divide",
    "RealDiv": "math.divide",
    "Exp": "math.exp",
    "ExpandDims": "expand_dims",
    "Elu": "nn.elu",
    "Equal": "math.equal",
    "Floor": "math.floor",
    "FloorDiv": "math.floordiv",
    "FloorMod": "math.floormod",
    "Greater": "math.greater",
    "GreaterEqual": "math.greater_equal",
    "Less": "math.less",
    "LessEqual": "math.less_equal",
    "Log": "math.log",
    "Log1p": "math.log1p",
    "LogicalAnd": "math.logical_and",
    "LogicalNot": "math.logical_not",
    "LogicalOr": "math.logical_or",
    "MatMul": "MatMul",
    "BatchMatMulV2": "BatchMatMulV2",
    "Max": "Max",
    "Maximum": "math.maximum",
    "Mean": "Mean",
    "Min": "Min",
    "Minimum": "math.minimum",
    "Mul": "math.multiply",
    "Neg": "math.negative",
    "NotEqual": "math.not_equal",
    "Pack": "Pack",
    "Pad": "pad",
    "Pow": "math.pow",
    "Prod": "Prod",
    "Reciprocal": "math.reciprocal",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Reshape": "reshape",
    "Round": "math.round",
    "Rsqrt": "math.rsqrt",
    "SelectV2": "where",
    "Selu": "nn.selu",
    "Shape": "shape",
    "Sigmoid": "math.sigmoid",
    "Sign": "math.sign",
    "Sin": "math.sin",
    "Softmax": "nn.softmax",
    "Softplus": "math.softplus",
    "Softsign": "nn.softsign",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "SquaredDifference": "math.squared_difference",
    "Squeeze": "Squeeze",
    "StridedSlice": "StridedSlice",
    "Sub": "math.subtract",
    "Sum": "Sum",
    "Tanh": "math.tanh",
    "Tile": "tile",
    "Transpose": "transpose",
}
"""Graph nodes of TensorFlowOpLayer → the TensorFlow function that does the same with the same arguments; a name without
a dot is a node whose attributes matter and that has a builder of its own."""


def normalise_operation(
    class_name: str, config: Mapping[str, Any], *, layer_name: str, generation: str
) -> tuple[str, dict[str, Any]]:
    """The "Operation" layer for an operation node of either generation.

    Args:
      class_name: a Keras 3 operation class, "TFOpLambda", "SlicingOpLambda" or "TensorFlowOpLayer".

    Returns:
      ``("Operation", {"operation": "keras3/Mean" | "tf/math.add" | "node/Sum", …settings})``.

    Raises:
      ModelError: the operation is not in the table.
    """
    if class_name in ("TFOpLambda", "SlicingOpLambda"):
        function = str(config.get("function"))
        function = _TENSORFLOW_SAME.get(function, function)
        if function not in TENSORFLOW:
            raise _unknown(layer_name, f"TensorFlow function tf.{function}")
        return "Operation", {"operation": f"tf/{function}"}
    if class_name == "TensorFlowOpLayer":
        return "Operation", _node(config, layer_name)
    if generation != "keras3" or class_name not in KERAS3:
        raise _unknown(layer_name, f"operation keras.ops.{class_name}")
    if config.get("data_format") == "channels_first":
        raise errors.ModelError(
            f"layer {layer_name!r} ({class_name}) is channels_first, which TFLite does not run; "
            "build the model with data_format='channels_last' and save it again"
        )
    unknown = {key: value for key, value in config.items()
               if key not in (*KERAS3[class_name], *_HARMLESS) and value is not None and value is not False}  # fmt: skip
    if unknown:
        key, value = next(iter(unknown.items()))
        raise errors.ModelError(
            f"layer {layer_name!r}: operation keras.ops.{class_name} has the setting {key}={value!r}, which edgepack does "
            "not know and will not guess; leave it out and save the model again"
        )
    settings = {key: config[key] for key in KERAS3[class_name] if key in config}
    return "Operation", {"operation": f"keras3/{class_name}", **settings}


def _node(config: Mapping[str, Any], layer_name: str) -> dict[str, Any]:
    """Settings of a TensorFlowOpLayer: the node's name and attributes, and its constant inputs by position."""
    node = config.get("node_def")
    try:
        parsed = json.loads(node) if isinstance(node, str) else node
        if not isinstance(parsed, dict):
            raise TypeError
        kind, attributes = parsed["op"], parsed.get("attr", {})
        constants = {int(position): value for position, value in dict(config.get("constants") or {}).items()}
    except (TypeError, KeyError, ValueError):
        raise errors.ModelError(
            f"layer {layer_name!r} (TensorFlowOpLayer): its node_def is not readable; "
            "load the model in the TensorFlow that wrote it, replace the operation by a layer and save it again"
        ) from None
    if kind not in NODES:
        raise _unknown(layer_name, f"graph node {kind}")
    return {
        "operation": f"node/{kind}",
        "attributes": {str(key): value for key, value in attributes.items() if not str(key).startswith("_")},
        "constants": {str(position): constants[position] for position in sorted(constants)},
        "inputs": len(parsed.get("input", ())),
    }


def _unknown(layer_name: str, what: str) -> errors.ModelError:
    return errors.ModelError(
        f"layer {layer_name!r}: {what} is not among the operations that edgepack rebuilds "
        "(gate/SUPPORT.md lists them); replace it by a Keras layer or a listed operation and save the model again"
    )
