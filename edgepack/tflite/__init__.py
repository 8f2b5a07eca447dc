"""The .tflite file itself: checked, read, weighed and held against what was promised. No interpreter, no
TensorFlow."""

from edgepack.tflite import invariants, weights
from edgepack.tflite.adopt import adopt, interface
from edgepack.tflite.arithmetic import (
    broken_recurrences,
    computing_float_ops,
    foreign_ops,
    operators,
    stateful,
)
from edgepack.tflite.macs import loops, macs, op_macs, parameters
from edgepack.tflite.model import Model, Op, Tensor
from edgepack.tflite.model import load as read
from edgepack.tflite.sizes import byte_ledger, byte_spans, sizes

__all__ = [
    "Model",
    "Op",
    "Tensor",
    "adopt",
    "broken_recurrences",
    "byte_ledger",
    "byte_spans",
    "computing_float_ops",
    "foreign_ops",
    "interface",
    "invariants",
    "loops",
    "macs",
    "op_macs",
    "operators",
    "parameters",
    "read",
    "sizes",
    "stateful",
    "weights",
]
