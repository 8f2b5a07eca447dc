"""Edits what calibration found, between the converter's two steps: a float .tflite with a range per
tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CUTTERS = frozenset({"SLICE", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "GATHER", "UNPACK"})


def narrow_inputs(data: bytes, names: Sequence[str]) -> bytes:
    """Gives inputs the range of what is cut out of them for arithmetic, in place of their whole range.

    Where one input holds ids beside numbers, its range is that of the ids (0 … 3,000), and the numbers beside
    them (−3 … 3) would share that scale: quantization hands a cut's scale on to its input. The ids do not
    mind a small range, because they are cast to integers before anything is quantized.

    Args:
      data: the calibrated model, as ``TFLiteConverter._experimental_calibrate_only`` gives it; made by
        TensorFlow in
        this process, not by a stranger.
      names: Keras names of the inputs; a tensor's name contains them.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edgepack.tflite.opcodes import builtin_name

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    graph = model.subgraphs[0]
    codes = [builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode)) for code in model.operatorCodes]
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if not any(f"_{name}:" in tensor.name.decode() for name in names):
            continue
        cuts = [
            graph.tensors[output].quantization
            for op in graph.operators
            if index in op.inputs and codes[op.opcodeIndex] in CUTTERS
            for output in op.outputs
            if graph.tensors[output].type == schema.TensorType.FLOAT32
        ]
        _join(tensor.quantization, [cut for cut in cuts if cut is not None and cut.min is not None])
    builder = flatbuffers.Builder(len(data) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _join(quantization: Any, cuts: Sequence[Any]) -> None:
    if cuts and quantization is not None:
        quantization.min = [min(float(cut.min[0]) for cut in cuts)]
        quantization.max = [max(float(cut.max[0]) for cut in cuts)]
