"""The .tflite file itself: checked, read, weighed and held against what was promised. No interpreter, no
TensorFlow."""

from edgepack.tflite import invariants, weights
from edgepack.tflite.adopt import adopt, interface
from edgepack.tflite.arithmetic import (
    computing_float_ops,
    foreign_ops,
    operators,
    saturated_recurrences,
    stateful,
)
from edgepack.tflite.macs import loops, macs, parameters
from edgepack.tflite.model import Model, Op, Tensor
from edgepack.tflite.model import load as read
from edgepack.tflite.sizes import byte_ledger, sizes

__all__ = [
    "Model",
    "Op",
    "Tensor",
    "adopt",
    "byte_ledger",
    "computing_float_ops",
    "foreign_ops",
    "interface",
    "invariants",
    "loops",
    "macs",
    "operators",
    "parameters",
    "read",
    "saturated_recurrences",
    "sizes",
    "stateful",
    "weights",
]
