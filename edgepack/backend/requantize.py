"""The converter's second step alone: a calibrated float model becomes an int8 .tflite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend.complaint import explained
from edgepack.durable import write_atomically


def requantize(
    *,
    source: str,
    target: str,
    input_type: str,
    output_type: str,
    per_tensor: bool = False,
    float_kinds: Sequence[str] = (),
    float_nodes: Sequence[str] = (),
    report: Callable[[str, float | None], None],
) -> dict[str, Any]:
    """Quantizes what "convert" with `calibrate_only` wrote, whatever was edited in it since.

    Args:
      source: calibrated float .tflite.
      target: the .tflite to write, atomically.
      input_type, output_type: as "convert" answered them: "int8", "uint8" or "float32".
      per_tensor: one scale for a whole kernel in place of one per output channel.
      float_kinds: TFLite op names (such as "LOGISTIC") that stay float.
      float_nodes: names of output tensors whose ops stay float.

    Raises:
      ConversionError: the quantizer refused.
    """
    report("quantizing", None)
    data = quantized_bytes(
        Path(source).read_bytes(),
        scheme="int8",
        input_type=input_type,
        output_type=output_type,
        per_tensor=per_tensor,
        float_kinds=float_kinds,
        float_nodes=float_nodes,
    )
    write_atomically(Path(target), data)
    return {}


def quantized_bytes(
    calibrated: bytes,
    *,
    scheme: str,
    input_type: str,
    output_type: str,
    per_tensor: bool = False,
    float_kinds: Sequence[str] = (),
    float_nodes: Sequence[str] = (),
) -> bytes:
    """The quantized form of a calibrated float model.

    Args:
      calibrated: its bytes.
      scheme: "int8" or "int16x8".
      input_type, output_type: names of TensorFlow dtypes.
      per_tensor, float_kinds, float_nodes: see `requantize`.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.toco import types_pb2

    try:
        data: bytes = mlir_quantize(
            calibrated,
            disable_per_channel=per_tensor,
            fully_quantize=False,
            inference_type=types_pb2.QUANTIZED_INT8 if scheme == "int8" else types_pb2.QUANTIZED_INT16,
            input_data_type=getattr(tf, input_type),
            output_data_type=getattr(tf, output_type),
            denylisted_ops=set(float_kinds) or None,
            denylisted_nodes=set(float_nodes) or None,
        )
    except Exception as error:
        raise errors.ConversionError(explained(error, scheme=scheme)) from error
    return data
