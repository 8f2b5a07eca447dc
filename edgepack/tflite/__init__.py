"""The .tflite file itself: checked, read, weighed and held against what was promised. No interpreter, no TensorFlow."""

from edgepack.tflite.adopt import adopt, interface
from edgepack.tflite.model import Model, Op, Tensor
from edgepack.tflite.model import load as read

__all__ = ["Model", "Op", "Tensor", "adopt", "interface", "read"]
