"""The operators of a model as TensorFlow Lite Micro's resolver takes them."""

from __future__ import annotations

from typing import Final

from edgepack import errors
from edgepack.tflite import Model
from edgepack.tflite.lut import DECODE

_NAMES: Final = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
    GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
    LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD
    PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT
    SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE
    ZEROS_LIKE
"""
KERNELS: Final = frozenset(_NAMES.split())
"""Built-in operators with a kernel in tflite-micro (micro_mutable_op_resolver.h, 2026)."""
ETHOS_U: Final = "ethos-u"
CUSTOM_METHODS: Final = {DECODE: "AddDecode", ETHOS_U: "AddEthosU"}
"""Custom operators that tflite-micro brings, and what registers them."""
SPELLED: Final = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
"""Where the resolver's method is not the operator's name in capitals and small letters."""


def unsupported(model: Model) -> tuple[str, ...]:
    """Operators that tflite-micro has no kernel for, sorted."""
    used = {(op.name, op.custom) for subgraph in model.subgraphs for op in subgraph.ops}
    return tuple(sorted(name for name, custom in used if name not in (CUSTOM_METHODS if custom else KERNELS)))


def resolver_methods(model: Model) -> tuple[str, ...]:
    """The calls that register what the model needs: "AddConv2D", … sorted.

    Raises:
      BadInputError: tflite-micro has no kernel for an operator; names it.
    """
    foreign = unsupported(model)
    if foreign:
        raise errors.BadInputError(
            f"tflite-micro has no kernel for {', '.join(foreign)}; build the package for a microcontroller "
            "(edgepack build --device …), or take --to linux"
        )
    used = {(op.name, op.custom) for subgraph in model.subgraphs for op in subgraph.ops}
    return tuple(sorted(CUSTOM_METHODS[name] if custom else f"Add{spelled(name)}" for name, custom in used))


def spelled(name: str) -> str:
    """An operator in the resolver's spelling.

    Example:
      >>> spelled("DEPTHWISE_CONV_2D"), spelled("L2_NORMALIZATION"), spelled("PADV2")
      ('DepthwiseConv2D', 'L2Normalization', 'PadV2')
    """
    words = [word if word[0].isdigit() else word.capitalize() for word in name.split("_")]
    return SPELLED.get(name, "".join(words))
