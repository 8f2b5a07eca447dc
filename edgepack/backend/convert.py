"""The operation "convert": a Keras candidate becomes a .tflite, quantized as asked."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend import (
    id_inputs,
    integer_activations,
    integer_mask,
    learned_ranges,
    narrow_mask,
    session,
    spread_norm,
)
from edgepack.backend import unroll as unrolling
from edgepack.backend.complaint import explained
from edgepack.backend.representative import representative, require
from edgepack.backend.requantize import quantized_bytes
from edgepack.backend.trace import Traced, trace, trace_saved_model
from edgepack.data import Dataset
from edgepack.tflite import silence
from edgepack.tflite.calibrated import Calibrated

INTEGER_SCHEMES = frozenset({"int8", "int16x8"})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A traced model with what was changed to make it convertible."""

    traced: Traced
    ids: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    floors: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[dict[str, str]] = field(default_factory=list)


def convert(
    *,
    source: str,
    target: str,
    scheme: str,
    calibration: Mapping[str, Any] | None = None,
    batch: int | None = 1,
    input_type: str = "int8",
    output_type: str = "int8",
    calibration_limit: int | None = None,
    unroll_all: bool = False,
    per_tensor: bool = False,
    old_quantizer: bool = False,
    float_ops: bool = False,
    float_kinds: Sequence[str] = (),
    select_ops: bool = False,
    calibrate_only: bool = False,
    seed: int = 0,
    report: Callable[[str, float | None], None],
) -> dict[str, Any]:
    """Converts one candidate.

    Args:
      source: candidate `.h5`, or a trusted SavedModel directory.
      target: the .tflite to write, atomically.
      scheme: "int8", "float32", "float16", "dynamic" or "int16x8".
      calibration: ``Dataset.to_json()``, needed for the integer schemes.
      batch: first dimension, None for a free one.
      input_type, output_type: "int8", "uint8" or "float32"; used by the integer schemes ("int16" is int16x8's
        own).
      calibration_limit: at most so many calibration samples.
      unroll_all: unroll the recurrent layers that would become one fused op, too.
      per_tensor: one scale for a whole kernel in place of one per output channel.
      old_quantizer: the converter's former quantizer.
      float_ops: ops without an integer kernel may stay float.
      float_kinds: TFLite op names (such as "LOGISTIC") that stay float.
      select_ops: TensorFlow ops outside TFLite's built-in ones are allowed.
      calibrate_only: write the float model with the ranges found, for "requantize".

    Returns:
      {"ids": inputs that hold ids and are not quantized, "notes": [{"layer", "action", "reason"}],
      "clipped": {input: lowest value that it distinguishes}}; with `calibrate_only` also "types": dtypes of the inputs
      and of the outputs, for "requantize".

    Raises:
      ConversionError: the converter refused; names op and layer.
      DataError: integers without calibration data, or without a needed array.
    """
    import tensorflow as tf

    session.seed_everything(seed)
    dataset = None if calibration is None else Dataset.from_json(dict(calibration))
    if scheme in INTEGER_SCHEMES and dataset is None:
        raise errors.DataError(
            f'[quantize] scheme = "{scheme}" needs [data.calibration]: some 100 typical inputs. '
            'Without any, take "dynamic"'
        )
    report("tracing the model", 0.1)
    prepared = _prepare(Path(source), scheme=scheme, batch=batch, unroll_all=unroll_all, dataset=dataset)
    traced = prepared.traced

    def converter() -> Any:
        """One conversion's own: TensorFlow's converters work once."""
        made = tf.lite.TFLiteConverter.from_concrete_functions([traced.function], traced.owner)
        _configure(made, tf, scheme=scheme, float_ops=float_ops, select_ops=select_ops)
        made.exclude_conversion_metadata = True  # says nothing that the manifest does not say
        made.experimental_new_quantizer = not old_quantizer
        made._experimental_disable_per_channel = per_tensor
        if scheme in INTEGER_SCHEMES:
            assert dataset is not None
            made.representative_dataset = representative(
                dataset, traced.specs, floors=prepared.floors, limit=calibration_limit
            )
            unquantized = prepared.mixed or len(prepared.ids) == len(traced.specs)
            made.inference_input_type = _io(tf, "float32" if unquantized else input_type, scheme)
            made.inference_output_type = _io(tf, output_type, scheme)
        return made

    report("converting", 0.4)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow warns of its own use of tf.lite.Interpreter
            data, types = _run(converter, float_kinds, prepared, scheme, calibrate_only=calibrate_only)
    except errors.EdgepackError:
        raise
    except Exception as error:
        raise errors.ConversionError(explained(error, scheme=scheme)) from error
    _write(Path(target), data)
    answer: dict[str, Any] = {
        "ids": [*prepared.ids, *prepared.mixed],
        "notes": prepared.notes,
        "clipped": dict(prepared.floors),
    }
    if calibrate_only:
        answer["types"] = types
    return answer


def _prepare(
    source: Path, *, scheme: str, batch: int | None, unroll_all: bool, dataset: Dataset | None
) -> Prepared:
    if source.is_dir():
        return Prepared(traced=trace_saved_model(str(source), batch=batch))
    from edgepack.backend import rebuild

    model = rebuild.load(source)
    integer_activations.substitute(model, integer=scheme in INTEGER_SCHEMES)
    if dataset is None:
        return Prepared(traced=trace(model, batch=batch))
    require(dataset, model.input_names)
    if scheme not in INTEGER_SCHEMES:
        shapes = unrolling.fixed_shapes(model, dataset)
        return Prepared(traced=trace(model, batch=batch, shapes=shapes), notes=_fixed(shapes))
    prepared = _rewritten(model, batch=batch, unroll_all=unroll_all, dataset=dataset)
    return dataclasses.replace(prepared, ranges=learned_ranges.stored(source))


def _rewritten(model: Any, *, batch: int | None, unroll_all: bool, dataset: Dataset) -> Prepared:
    """The exact rewritings that integers need, made on the layer objects before the model is traced."""
    notes: list[dict[str, str]] = spread_norm.spread(model, dataset)
    ids, mixed = id_inputs.find(model)
    notes += [_note(name, "holds ids: int32 in the .tflite, never quantized") for name in ids]
    reason = "feeds an embedding and arithmetic alike: float32 in the .tflite, so that its ids stay exact"
    notes += [_note(name, reason) for name in mixed]
    if mixed:
        id_inputs.keep_exact(model, mixed)
    if ids:
        id_inputs.keep_integers(model)
    narrowed = narrow_mask.narrow(model, dataset)
    for item in narrowed:
        reason = f"{item.name!r} is calibrated without the mask's sentinel, which clips to the lowest code"
        notes.append(_note(item.layer, reason))
    integer_mask.compare_in_integers(model, dataset, besides={item.layer for item in narrowed})
    loops = unrolling.looping(model, fused_too=unroll_all)
    if unroll_all and not loops:
        raise errors.ConversionError("there is no recurrent layer to unroll")
    shapes = unrolling.fixed_shapes(model, dataset)
    notes += _fixed(shapes)
    notes += unrolling.unroll(loops, shapes)
    return Prepared(
        traced=trace(model, batch=batch, dtypes=dict.fromkeys(ids, "int32"), shapes=shapes),
        ids=ids,
        mixed=mixed,
        floors={item.name: item.floor for item in narrowed},
        notes=notes,
    )


def _fixed(shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, str]]:
    reason = "the free dimensions became those of the calibration data, {}: a device runs one size"
    return [_note(name, reason.format(list(shape))) for name, shape in shapes.items()]


def _note(layer: str, reason: str) -> dict[str, str]:
    return {"layer": layer, "action": "note", "reason": reason}


def _configure(converter: Any, tf: Any, *, scheme: str, float_ops: bool, select_ops: bool) -> None:
    ops = tf.lite.OpsSet
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    main = {
        "int8": ops.TFLITE_BUILTINS_INT8,
        "int16x8": ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }.get(scheme, ops.TFLITE_BUILTINS)
    supported = [main]
    if float_ops and main is not ops.TFLITE_BUILTINS:
        supported.append(ops.TFLITE_BUILTINS)
    if select_ops:
        supported.append(ops.SELECT_TF_OPS)
    converter.target_spec.supported_ops = supported


def _io(tf: Any, name: str, scheme: str) -> Any:
    if scheme == "int16x8" and name == "int8":
        return tf.int16
    return getattr(tf, name)


def _run(
    make: Callable[[], Any],
    float_kinds: Sequence[str],
    prepared: Prepared,
    scheme: str,
    *,
    calibrate_only: bool,
) -> tuple[bytes, list[str]]:
    """The file, and the dtypes of its inputs and outputs; in two steps where ranges are to be edited between them."""
    converter = make()
    types = [converter.inference_input_type.name, converter.inference_output_type.name]
    edits = prepared.mixed or (prepared.ranges and scheme == "int8")
    if not float_kinds and not edits and not calibrate_only:
        data: bytes = converter.convert()
        if scheme != "int8" or not silence.silent(data):
            return data, types
        converter = make()
    converter._experimental_calibrate_only = True
    calibrated = _edited(converter.convert(), prepared, scheme)
    if calibrate_only:
        return calibrated, types
    quantized = quantized_bytes(
        calibrated,
        scheme=scheme,
        input_type=types[0],
        output_type=types[1],
        per_tensor=converter._experimental_disable_per_channel,
        float_kinds=float_kinds,
    )
    return quantized, types


def _edited(calibrated: bytes, prepared: Prepared, scheme: str) -> bytes:
    """The calibrated model with learned ranges, ids kept from quantization, and ranges for what was always zero."""
    model = Calibrated(calibrated)
    learned_ranges.give(model, prepared.ranges if scheme == "int8" else {})
    model.narrow_inputs(prepared.mixed)
    quiet = silence.give_ranges(model) if scheme == "int8" else []  # int16 has codes enough
    reason = "always zero, or next to it, in the calibration data: quantized with the range of its neighbours"
    prepared.notes.extend(_note(name, reason) for name in quiet)
    edited = quiet or prepared.mixed or (prepared.ranges and scheme == "int8")
    return model.to_bytes() if edited else calibrated


def _write(target: Path, data: bytes) -> None:
    scratch = target.with_name(target.name + ".part")
    try:
        scratch.write_bytes(data)
        scratch.replace(target)
    except OSError as error:
        raise errors.StorageError(f"cannot write {target}: {error.strerror}") from error
