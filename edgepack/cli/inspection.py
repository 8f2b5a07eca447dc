"""What `inspect` finds in a file, and how it is shown."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from edgepack import errors
from edgepack.cli.opening import Kind
from edgepack.cli.screen import results
from edgepack.cli.summary import kilobytes
from edgepack.records import TensorSpec, file_sha256

if TYPE_CHECKING:
    from edgepack.tflite import Model


def of(path: Path, kind: Kind) -> dict[str, Any]:
    """The facts of a file as JSON.

    Raises:
      ModelError, PackageError: damaged or refused.
      TrustError: a SavedModel, which cannot be read without running it.
    """
    if kind == "keras":
        return _keras(path)
    if kind == "tflite":
        return {"kind": "tflite", **_tflite(path)}
    if kind == "package":
        return _package(path)
    raise errors.TrustError(
        f"{path}: is a SavedModel; looking into it means loading it, which runs code: build it with --trust-input instead"
    )


def _keras(path: Path) -> dict[str, Any]:
    from edgepack import gate
    from edgepack.numerics import clustering

    graph = gate.read(path)
    layers = []
    for facts in gate.layer_facts(graph):
        arrays = [(kernel.array, kernel.channel_axes) for kernel in facts.kernels]
        weights = sum(array.size for array, _ in arrays)
        layers.append(
            {
                "layer": facts.name,
                "kind": facts.kind,
                "shape": list(arrays[0][0].shape) if arrays else [],
                "parameters": facts.parameters,
                "sparsity": sum(int((array == 0).sum()) for array, _ in arrays) / weights
                if weights
                else None,
                "distinct_per_channel": max(
                    (clustering.distinct(array, axes) for array, axes in arrays), default=None
                ),
            }
        )
    return {
        "kind": "keras",
        "written_by": graph.generation,
        "size_bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "inputs": [_spec(spec) for spec in graph.specs],
        "outputs": [name for name, _ in graph.outputs],
        "parameters": sum(layer["parameters"] for layer in layers),
        "layers": layers,
        "dropped": [{"layer": layer, "reason": reason} for layer, reason in graph.dropped],
    }


def _tflite(path: Path) -> dict[str, Any]:
    from edgepack import tflite

    model = tflite.read(path)
    inputs, outputs = tflite.interface(model)
    return {
        "sha256": file_sha256(path),
        "inputs": [_spec(spec) for spec in inputs],
        "outputs": [_spec(spec) for spec in outputs],
        "sizes": asdict(tflite.sizes(path)),
        "bytes": tflite.byte_ledger(model),
        "macs": tflite.macs(model),
        "parameters": tflite.parameters(model),
        "operators": tflite.operators(model),
        "float_operators": tflite.computing_float_ops(model),
        "stateful": tflite.stateful(model),
        "tflite_micro": _micro(model),
    }


def _micro(model: Model) -> dict[str, Any]:
    """Whether tflite-micro has every operator, and what its arena takes, as planned: nothing is run."""
    from edgepack import embedded
    from edgepack.tflite.arena import arena

    missing = embedded.unsupported(model)
    planned = arena(model)
    return {
        "missing": list(missing),
        "resolver": [] if missing else list(embedded.resolver_methods(model)),
        "planned_arena": {"head_bytes": planned.activation_bytes, "tail_bytes": planned.persistent_bytes},
    }


def _package(path: Path) -> dict[str, Any]:
    from edgepack import bundle

    package = bundle.read(path)
    with bundle.extracted_model(package) as model:
        inside = _tflite(model)
    return {
        "kind": "package",
        "package_sha256": package.sha256,
        "manifest": dict(package.manifest),
        "tflite": inside,
    }


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {**asdict(spec), "shape": list(spec.shape)}


def show(path: Path, found: dict[str, Any]) -> None:
    """Prints it for a person."""
    console = results()
    if found["kind"] == "package":
        _show_manifest(console, path, found)
        _show_tflite(console, found["tflite"])
    elif found["kind"] == "tflite":
        console.print(
            f"{path}: .tflite, {kilobytes(found['sizes']['file_bytes'])}", style="bold", markup=False
        )
        _show_tflite(console, found)
    else:
        _show_keras(console, path, found)


def _show_manifest(console: Console, path: Path, found: dict[str, Any]) -> None:
    manifest = found["manifest"]
    device = (manifest.get("device") or {}).get("name", "no particular device")
    console.print(
        f"{path}: {manifest['name']} {manifest['version']} for {device}", style="bold", markup=False
    )
    told = [str(manifest.get("status", "of unknown status"))]
    metric = manifest.get("metric") or {}
    if metric.get("tflite") is not None:
        of_float = f" (float {metric['float']:.4f})" if metric.get("float") is not None else ""
        told.append(
            f"{metric['name']} {metric['tflite']:.4f}{of_float} on {metric.get('samples', 0):,} samples"
        )
    promises = manifest.get("invariants") or []
    told.append(f"{sum(item['holds'] for item in promises)} of {len(promises)} promises kept")
    console.print(f"  {told[0]}: {'; '.join(told[1:])}", markup=False)
    flash = manifest.get("flash")
    if flash is not None:
        ram = f"{flash['ram_bytes']:,} B of RAM" if flash["ram_bytes"] is not None else "RAM not known"
        cycles = f", {flash['cycles']:,} cycles" if flash["cycles"] is not None else ""
        console.print(
            f"  stores {flash['codec']}: {flash['flash_bytes']:,} B of flash, {ram} ({flash['ram_by']}){cycles}",
            markup=False,
        )
    for name, member in manifest["members"].items():
        console.print(f"  {name:<14} {member['bytes']:>10,} B  sha256 {member['sha256']}", markup=False)


def _show_tflite(console: Console, found: dict[str, Any]) -> None:
    for name in ("inputs", "outputs"):
        for spec in found[name]:
            stored = (
                f", real = {spec['scale']:.6g} × (stored − {spec['zero_point']})"
                if spec["scale"] is not None
                else ""
            )
            console.print(
                f"  {name[:-1]} {spec['name']}: {spec['dtype']} {spec['shape']}{stored}", markup=False
            )
    sizes = found["sizes"]
    console.print(
        f"  file {kilobytes(sizes['file_bytes'])}, delivered {kilobytes(sizes['delivered_bytes'])}, flash "
        f"{kilobytes(sizes['flash_bytes'])}; {found['macs']:,} multiply-adds, {found['parameters']:,} parameters",
        markup=False,
    )
    spent = ", ".join(f"{name} {kilobytes(count)}" for name, count in found["bytes"].items())
    console.print(f"  bytes: {spent}", markup=False)
    console.print(
        "  ops: " + ", ".join(f"{name} ×{count}" for name, count in found["operators"].items()), markup=False
    )
    micro = found["tflite_micro"]
    arena = micro["planned_arena"]
    missing = ", ".join(micro["missing"])
    lacks = f"tflite-micro has no kernel for {missing}" if missing else "all in tflite-micro"
    told = f"  {lacks}; its arena: tensors {arena['head_bytes']:,} B as planned, interpreter about {arena['tail_bytes']:,}"
    console.print(told, markup=False)
    floats = found["float_operators"]
    console.print(f"  float ops: {', '.join(floats) if floats else 'none'}", markup=False)


def _show_keras(console: Console, path: Path, found: dict[str, Any]) -> None:
    written = {"keras3": "Keras 3", "keras2": "Keras 2 or tf_keras"}[found["written_by"]]
    console.print(
        f"{path}: written by {written}, {found['parameters']:,} parameters, {kilobytes(found['size_bytes'])}",
        style="bold",
        markup=False,
    )
    for spec in found["inputs"]:
        console.print(f"  input {spec['name']}: {spec['dtype']} {spec['shape']}", markup=False)
    console.print(f"  outputs: {', '.join(found['outputs'])}", markup=False)
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "kind", "shape", "parameters", "zeros", "values/channel"):
        table.add_column(name, justify="left" if name in ("layer", "kind", "shape") else "right")
    for layer in found["layers"]:
        table.add_row(
            layer["layer"],
            layer["kind"],
            "×".join(map(str, layer["shape"])) or "–",
            f"{layer['parameters']:,}",
            f"{layer['sparsity']:.1%}" if layer["sparsity"] is not None else "–",
            str(layer["distinct_per_channel"] or "–"),
        )
    console.print(table)
    for item in found["dropped"]:
        console.print(f"  dropped {item['layer']}: {item['reason']}", style="dim", markup=False)
