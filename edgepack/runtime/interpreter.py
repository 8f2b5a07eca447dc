"""A loaded model with its inputs and outputs by name. Runs in the child only.

Sent to devices, whose Python may be 3.9: its dataclasses don't know `kw_only` yet, nor its `zip` `strict`.
"""

from __future__ import annotations

import hashlib
import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors

MODULES: Final[dict[str, str]] = {
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tflite-micro": "tflite_micro",
}
PREFERRED_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Port:
    """One input or output of a loaded model.

    Attributes:
      name: the signature's key (for edgepack's own files the Keras name), else the tensor's name.
      tensor: the tensor's own name.
      index: its number in the interpreter.
      shape: as allocated; free: which axes may be resized.
      dtype: numpy name of what is stored.
      scale, zero_point: 0.0 and 0 where not quantized.
    """

    name: str
    tensor: str
    index: int
    shape: tuple[int, ...]
    free: tuple[bool, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def is_quantized(self) -> bool:
        """Whether stored integers stand for real numbers."""
        return self.scale != 0.0 and np.issubdtype(np.dtype(self.dtype), np.integer)


@dataclass(frozen=True)
class Loaded:
    """An interpreter that is ready to invoke.

    Attributes:
      handle: the runtime's own Interpreter.
      inputs: the caller's input name → port.
      outputs: in the model's order; told apart by name, the converter permutes them.
      load_ms: wall time of building the interpreter and allocating its tensors.
      allocate_ms: the part of it that allocating took.
    """

    handle: Any
    inputs: Mapping[str, Port]
    outputs: tuple[Port, ...]
    load_ms: float
    allocate_ms: float


def module_of(runtime: str) -> Any:
    """The runtime's Python module.

    Raises:
      MissingDependencyError: it is installed but cannot be imported.
    """
    try:
        return importlib.import_module(MODULES[runtime])
    except (ImportError, AttributeError) as error:  # numpy 2 under tflite-runtime raises AttributeError
        raise errors.MissingDependencyError(
            f"{runtime} is installed but cannot be imported: {error}; perhaps it is built for another numpy"
        ) from error


def model_bytes(path: Path, sha256: str | None) -> bytes:
    """The file's bytes, after checking their digest; these bytes, not the file, are then loaded.

    Raises:
      StorageError: the file cannot be read.
      ModelError: it is not the file that was measured or packed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.StorageError(f"{path}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise errors.ModelError(
            f"{path}: its SHA-256 is {found}, expected {sha256}; the file was changed or damaged"
        )
    return content


def load(
    path: Path,
    *,
    runtime: str,
    kernels: str,
    threads: int,
    sha256: str | None = None,
    samples: Mapping[str, tuple[int, ...]] | None = None,
    every_tensor: bool = False,
    delegate: str | None = None,
    delegate_options: Mapping[str, str] | None = None,
) -> Loaded:
    """Loads a .tflite and allocates its tensors.

    Args:
      path: the file.
      runtime: "litert" or "tflite-runtime".
      kernels: "default" (XNNPACK where the runtime has it) or "reference" (the same bits on every processor).
      threads: of the interpreter.
      sha256: expected digest, checked before anything is parsed.
      samples: input name → shape of one sample, of everything that will be fed; None takes the model's own
        names and shapes.
      every_tensor: keep what every op computes, to be read after an invoke; no delegate then takes ops together.
      delegate: path of an external delegate's library, offered the ops before the default kernels are.
      delegate_options: what that library is told.

    Raises:
      ModelError: the runtime refuses the file, or its inputs are not those of `samples`.
      DeviceError: the delegate's library is absent, none, or refuses.
    """
    content = model_bytes(path, sha256)
    module = module_of(runtime)
    resolver = module.OpResolverType.BUILTIN_REF if kernels == "reference" else module.OpResolverType.AUTO
    if every_tensor and kernels == "default":
        resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    delegates = [_delegate(module, delegate, delegate_options or {})] if delegate is not None else None
    started = time.perf_counter()
    try:
        handle = module.Interpreter(
            model_content=content,
            experimental_delegates=delegates,
            num_threads=threads,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=every_tensor,
        )
        ports = _ports(handle, "inputs")
        bound = {port.name: port for port in ports} if samples is None else bind(tuple(samples), ports, path)
        for name, port in bound.items():
            wanted = port.shape if samples is None else (*port.shape[:1], *samples[name])
            if wanted != port.shape:
                _require_free(port, wanted, name, path)
                handle.resize_tensor_input(port.index, list(wanted))
        built = time.perf_counter()
        handle.allocate_tensors()
        allocated_ms = (time.perf_counter() - built) * 1e3
        allocated = {port.index: port for port in _ports(handle, "inputs")}
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise errors.ModelError(f"{path}: {runtime} cannot load it: {reason}") from error
    return Loaded(
        handle=handle,
        inputs={name: allocated[port.index] for name, port in bound.items()},
        outputs=_ports(handle, "outputs"),
        load_ms=(time.perf_counter() - started) * 1e3,
        allocate_ms=allocated_ms,
    )


def _delegate(module: Any, library: str, options: Mapping[str, str]) -> Any:
    try:
        return module.load_delegate(library, dict(options))
    except (OSError, ValueError, AttributeError) as error:  # no file, refused, no such function in it
        told = (str(error).strip().splitlines() or ["it refused"])[0]
        raise errors.DeviceError(
            f"the delegate {library} cannot be used: {told}; expected a shared library for this processor with "
            "tflite_plugin_create_delegate in it, and options that it knows"
        ) from error


def bind(names: Sequence[str], ports: Sequence[Port], path: Path) -> dict[str, Port]:
    """Finds the port of each input: by the signature's keys, else it's the only one, else by tensor names.

    Raises:
      ModelError: other inputs, or names that don't tell them apart.
    """
    by_name = {port.name: port for port in ports}
    if set(names) == set(by_name):
        return {name: by_name[name] for name in names}
    if len(names) == len(ports) == 1:
        return {names[0]: ports[0]}
    bound: dict[str, Port] = {}
    # Longest first, so that "input_1" cannot take the tensor of "input_10".
    for name in sorted(names, key=len, reverse=True):
        left = [port for port in ports if port not in bound.values()]
        found = [port for port in left if _core(port.tensor) == name] or [
            port for port in left if name in port.tensor
        ]
        if len(found) != 1:
            break
        bound[name] = found[0]
    if len(bound) != len(names) or len(names) != len(ports):
        raise errors.ModelError(
            f"{path}: its inputs are {', '.join(repr(port.name) for port in ports)}; "
            f"the data are for {', '.join(repr(name) for name in names)}; the names do not tell them apart"
        )
    return {name: bound[name] for name in names}


def _core(tensor: str) -> str:
    return tensor.removeprefix(f"{PREFERRED_SIGNATURE}_").removesuffix(":0")


def _require_free(port: Port, wanted: tuple[int, ...], name: str, path: Path) -> None:
    fits = len(wanted) == len(port.shape) and all(
        axis_free or old == new
        for axis_free, old, new in zip(port.free, port.shape, wanted)  # noqa: B905
    )
    if not fits:
        raise errors.ModelError(
            f"{path}: input {name!r} takes samples of shape {port.shape[1:]}, the data have {wanted[1:]}"
        )


def _ports(handle: Any, side: str) -> tuple[Port, ...]:
    details = handle.get_input_details() if side == "inputs" else handle.get_output_details()
    signature = _signature(handle).get(side, {})
    by_index = {int(detail["index"]): detail for detail in details}  # one tensor may be listed twice
    ports: list[Port] = []
    for index, detail in by_index.items():
        keys = [key for key, tensor in signature.items() if tensor == index]
        ports += [_port(detail, key) for key in keys or [str(detail["name"])]]
    return tuple(ports)


def _signature(handle: Any) -> dict[str, dict[str, int]]:
    """Tensor index by key for the serving signature; empty where the file has none or several others.

    The public `get_signature_list` gives keys without indices, so the full list behind it is asked.
    """
    signatures: dict[str, dict[str, dict[str, int]]] = handle._get_full_signature_list() or {}
    if PREFERRED_SIGNATURE in signatures:
        return signatures[PREFERRED_SIGNATURE]
    return next(iter(signatures.values())) if len(signatures) == 1 else {}


def _port(detail: Mapping[str, Any], name: str) -> Port:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(size) for size in detail["shape"])
    signature: npt.NDArray[Any] = np.asarray(detail.get("shape_signature", shape))
    free = (
        tuple(bool(size == -1) for size in signature)
        if len(signature) == len(shape)
        else (False,) * len(shape)
    )
    return Port(
        name=name,
        tensor=str(detail["name"]),
        index=int(detail["index"]),
        shape=shape,
        free=free,
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )
