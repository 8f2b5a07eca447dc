"""`--to mcu`: sources and images for TensorFlow Lite Micro; what does not fit is refused before anything is written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgepack import embedded, errors, tflite
from edgepack.deliver.mcu import images, source_code
from edgepack.deliver.mcu.form import Form, form_for
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.deliver.tree import Tree


def tree(subject: Subject, options: Options) -> Tree:
    """Sources always; images where address, slot or key say what they need.

    Raises:
      GateError: the model is larger than its slot, its budget or the device's flash.
      BadInputError: an operator without a kernel in tflite-micro, a model that takes floats where the device has none.
    """
    form = form_for(subject, options.device)
    _require_room(subject, form, options)
    model = _model(form)
    methods = embedded.resolver_methods(model)
    names = source_code.names_of(subject, form, model)
    declared, defined, count = source_code.golden_source(subject)
    tensors = (*subject.inputs, *subject.outputs)
    names |= {
        "array": source_code.c_array(form.data),
        "golden_declared": declared,
        "golden_defined": defined,
        "golden_count": count,
        "operators": len(methods),
        "registered": "\n".join(
            f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;" for method in methods
        ),
        "input_bindings": _bindings(subject, "input", len(subject.inputs)),
        "output_bindings": _bindings(subject, "output", len(subject.outputs)),
        "tolerances": ", ".join(str(_tolerance(subject, tensor["name"])) for tensor in subject.outputs),
        "listed": ", ".join(tensor["name"] for tensor in tensors),
    }
    stem = subject.identifier
    made: dict[str, bytes] = {
        f"{stem}.tflite": form.data,
        f"include/{stem}.h": source_code.filled("model.h", names),
        f"include/{stem}_golden.h": source_code.filled("golden.h", names),
        f"include/{stem}_resolver.h": source_code.filled("resolver.h", names),
        f"src/{stem}.c": source_code.filled("model.c", names),
        f"src/{stem}.S": source_code.filled("model.S", names),
        f"src/{stem}_golden.c": source_code.filled("golden.c", names),
        "example/main.cc": source_code.filled("main.cc", names),
        "CMakeLists.txt": source_code.filled("CMakeLists.txt", names),
        "README.md": source_code.filled("README.md", names),
    }
    return {**made, **_images(subject, form.data, options)}


def _require_room(subject: Subject, form: Form, options: Options) -> None:
    size = len(form.data)
    if options.slot_bytes is not None and size > options.slot_bytes:
        raise errors.GateError(
            f"{subject.name}: {size:,} bytes do not fit the slot of {options.slot_bytes:,} (--slot-bytes)"
        )
    board = options.device
    if board is None:
        return
    limit = board.budget_bytes if board.budgeted_size in ("flash", "file") else None
    for what, bytes_there in (("its budget for models is", limit), ("it has a flash of", board.flash_bytes)):
        if bytes_there is not None and size > bytes_there:
            raise errors.GateError(
                f"{subject.name}: {size:,} bytes do not fit {board.name}: {what} {bytes_there:,}"
            )
    if not board.float_allowed and any(
        tensor["dtype"] == "float32" for tensor in (*subject.inputs, *subject.outputs)
    ):
        raise errors.BadInputError(
            f"{subject.name}: takes or gives float32, and {board.name} has integer kernels only"
        )


def _images(subject: Subject, model: bytes, options: Options) -> dict[str, bytes]:
    stem = subject.identifier
    address, slot = options.flash_address, options.slot_bytes
    made: dict[str, bytes] = {}
    if address is not None:
        if address + len(model) > 1 << 32:
            raise errors.BadInputError(f"--flash-address {address:#x}: the model would end beyond 32 bits")
        made[f"images/{stem}.hex"] = images.intel_hex(model, address)
        way = options.device.programmer if options.device else None
        if way is not None and way.tool == "uf2":
            if address % images.UF2_PAYLOAD_BYTES:
                raise errors.BadInputError(
                    f"--flash-address {address:#x}: UF2 blocks lie on multiples of 256 bytes"
                )
            made[f"images/{stem}.uf2"] = images.uf2(model, address, int(way.target, 16))
    if options.device is not None and options.device.name.startswith("esp32"):
        made["images/partitions.csv"] = images.esp_partition(stem, len(model), address, slot)
        made[f"images/{stem}.bin"] = model
    if slot is not None:
        if slot >= 4 * images.LITTLEFS_BLOCK_BYTES and slot - len(model) >= 2 * images.LITTLEFS_BLOCK_BYTES:
            made[f"images/{stem}.littlefs"] = images.littlefs(model, f"{stem}.tflite", slot)
        if options.signing_key is not None:
            made[f"images/{stem}.mcuboot.bin"] = images.mcuboot(
                model,
                key=Path(options.signing_key),
                version=subject.version,
                slot_bytes=slot,
                security_counter=options.security_counter,
            )
    elif options.signing_key is not None:
        raise errors.BadInputError("--mcuboot-key: an MCUboot image needs --slot-bytes, the size of its slot")
    return made


def _model(form: Form) -> tflite.Model:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(form.data)
        return tflite.read(path)


def _bindings(subject: Subject, role: str, count: int) -> str:
    return "\n".join(
        f"      {{interpreter.{role}({number}), {subject.identifier}_golden_{role}_{number}[vector]}},"
        for number in range(count)
    )


def _tolerance(subject: Subject, name: str) -> float:
    """LSB that this output may differ by on other kernels."""
    found = [check.tolerance for check in subject.package.golden.checks if check.name == name]
    return found[0] if found else 2
