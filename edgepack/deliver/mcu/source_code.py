"""C and C++ sources: the model as an array and as .incbin, its golden vectors, its resolver, an example that uses all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.deliver import templates
from edgepack.deliver.mcu.form import Form
from edgepack.deliver.subject import Subject
from edgepack.tflite import Model
from edgepack.tflite.arena import arena

GOLDEN_BYTES = 32_768
"""Golden vectors take at most this much flash; at least one is always there."""
BYTES_PER_LINE = 16
C_TYPES = {
    "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "bool": "bool",
    "float32": "float",
}  # fmt: skip


def filled(template: str, values: dict[str, Any]) -> bytes:
    """A file of this receiver's `templates`."""
    return templates.filled("edgepack.deliver.mcu", template, values)


def c_array(data: bytes) -> str:
    """Bytes as C takes them between braces.

    Example:
      >>> c_array(bytes([0, 255]))
      '  0x00,0xff,'
    """
    digits = data.hex()
    lines = []
    for start in range(0, len(digits), 2 * BYTES_PER_LINE):
        row = digits[start : start + 2 * BYTES_PER_LINE]
        lines.append("  " + "".join(f"0x{row[at : at + 2]}," for at in range(0, len(row), 2)))
    return "\n".join(lines)


FORMS = {
    "plain": "the .tflite as it is",
    "lut": "kernels by tables: tflite-micro from August 2026 on decodes them into the arena",
    "vela": "commands for the Ethos-U, made by Vela",
}


def names_of(subject: Subject, form: Form, model: Model) -> dict[str, Any]:
    """What the templates speak of."""
    needed = arena(model)
    # The NPU's scratch memory is no tensor that an operator makes: Vela says how large it is.
    tensors = form.arena_bytes if form.codec == "vela" else needed.activation_bytes
    symbol = subject.identifier
    return {
        "name": subject.name,
        "version": subject.version,
        "symbol": symbol,
        "SYMBOL": symbol.upper(),
        "bytes": len(form.data),
        "sha256": form.sha256,
        "form": FORMS[form.codec],
        "activation_bytes": tensors,
        "persistent_bytes": needed.persistent_bytes,
        "arena_bytes": _with_room(max(tensors + needed.persistent_bytes, form.arena_bytes)),
        "contract": _contract(subject),
    }


def _with_room(size: int) -> int:
    """An eighth and 2 KiB on top, for scratch buffers of optimized kernels; a multiple of 16."""
    return -(-(size + size // 8 + 2048) // 16) * 16


def _contract(subject: Subject) -> str:
    lines = []
    for role, tensors in (("INPUT", subject.inputs), ("OUTPUT", subject.outputs)):
        for number, tensor in enumerate(tensors):
            prefix = f"{subject.identifier.upper()}_{role}_{number}"
            shape = "x".join(str(size) for size in tensor["shape"])
            lines.append(
                f"/* {role.lower()} {number}: {_comment(tensor['name'])}, {tensor['dtype']} {shape} */"
            )
            lines.append(f"#define {prefix}_ELEMENTS {_elements(tensor['shape'])}")
            if tensor.get("scale") is not None:
                lines.append(f"#define {prefix}_SCALE {tensor['scale']!r}f")
                lines.append(f"#define {prefix}_ZERO_POINT ({tensor['zero_point']})")
    return "\n".join(lines)


def _elements(shape: list[int]) -> int:
    return int(np.prod([size or 1 for size in shape], dtype=np.int64))


def _comment(text: str) -> str:
    """A name that cannot end the comment it stands in."""
    return "".join(letter if letter.isalnum() or letter in "._- " else "_" for letter in text)


def golden_source(subject: Subject) -> tuple[str, str, int]:
    """Declarations, definitions and number of the golden vectors that are delivered."""
    golden = subject.package.golden
    arrays = [
        (role, number, stored[tensor["name"]])
        for role, tensors, stored in (
            ("input", subject.inputs, golden.inputs),
            ("output", subject.outputs, golden.outputs),
        )
        for number, tensor in enumerate(tensors)
    ]
    each = sum(array[0].nbytes for _, _, array in arrays)
    count = max(1, min(len(arrays[0][2]), GOLDEN_BYTES // max(1, each)))
    declared, defined = [], []
    for role, number, array in arrays:
        name = f"{subject.identifier}_golden_{role}_{number}"
        kind = C_TYPES.get(str(array.dtype), "uint8_t")
        elements = array[0].size if kind != "uint8_t" or array.dtype == np.uint8 else array[0].nbytes
        declared.append(f"extern const {kind} {name}[{count}][{elements}];")
        defined.append(_definition(kind, name, array[:count], elements))
    return "\n".join(declared), "\n\n".join(defined), count


def _definition(kind: str, name: str, array: npt.NDArray[Any], elements: int) -> str:
    rows = []
    for vector in array:
        flat = (
            vector.reshape(-1)
            if kind in ("float",) or array.dtype.name in C_TYPES
            else vector.reshape(-1).view(np.uint8)
        )
        rows.append("  {" + ",".join(_literal(value) for value in flat.tolist()) + "},")
    return f"const {kind} {name}[{len(array)}][{elements}] = {{\n" + "\n".join(rows) + "\n};"


def _literal(value: float | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{float.hex(value)}f"
    # -2147483648 is read as the negation of a number that int32 does not have.
    return f"({value + 1} - 1)" if value in (-(2**31), -(2**63)) else str(value)
