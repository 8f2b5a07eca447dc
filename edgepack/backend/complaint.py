"""What the converter complained about, in plain words: which op, of which layer, and what to do."""

from __future__ import annotations

import re

UNSUPPORTED_OP = re.compile(r"tf\.([A-Za-z0-9_]+)(?:'| op|\(|\{)")
QUANTIZED_LESS = re.compile(r"Quantization to (?:8|16x8)-bits? not (?:yet )?supported for op: '?(\w+)")
MAX_NAMED = 6


def explained(error: Exception, *, scheme: str) -> str:
    """One or two sentences about a converter error; never a trace, never MLIR.

    Example:
      >>> error = RuntimeError("Quantization to 16x8-bits not yet supported for op: 'GELU'.")
      >>> print(explained(error, scheme="int16x8"))
      the op GELU has no int16x8 kernel: set [quantize] allow_float = true, or take scheme = "dynamic"
    """
    text = str(error)
    unquantizable = QUANTIZED_LESS.search(text)
    if unquantizable:
        return (
            f"the op {unquantizable[1]} has no {scheme} kernel: set [quantize] allow_float = true, "
            'or take scheme = "dynamic"'
        )
    if "TensorListReserve" in text or "TensorListFromTensor" in text:
        return (
            "a recurrent layer became a loop over tensor lists, which TFLite's built-in ops cannot run: "
            "fix the batch with [quantize] batch = 1"
        )
    if scheme == "int16x8" and "Max and min for dynamic tensors" in text:
        return (
            "the converter's 16x8 quantizer takes no integer inputs, and ids must stay integers: take scheme "
            '= "int8", or "dynamic"'
        )
    operations = _named(UNSUPPORTED_OP.findall(text))
    layers = _layers(error)
    if operations and (
        "neither a custom op nor a flex op" in text or "Some ops" in text or "failed to legalize" in text
    ):
        where = f" (in {', '.join(layers)})" if layers else ""
        return (
            f"TFLite has no built-in op for {', '.join(operations)}{where}: replace the layer, or set "
            "[quantize] allow_select_ops = true where the device's runtime has TensorFlow's ops"
        )
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"the TensorFlow Lite converter refused the model ({type(error).__name__}): {first[:300]}"


def _named(found: object) -> list[str]:
    unique = list(dict.fromkeys(found))  # type: ignore[call-overload]
    return unique[:MAX_NAMED]


def _layers(error: Exception) -> list[str]:
    """Layers that the complaint is about; TensorFlow's ConverterError carries "model/layer/Op@function"."""
    places = [call.name for entry in getattr(error, "errors", ()) for call in entry.location.call]
    paths = [place.split("@")[0].split("/") for place in places]
    return _named(path[1] for path in paths if len(path) > 2)
