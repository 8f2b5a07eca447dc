"""What a .tflite costs: bytes, multiply-adds, parameters, and time on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgepack import benchmark, tflite
from edgepack.device import Device
from edgepack.pipeline.result import Weighed
from edgepack.pipeline.workspace import Maker, Workspace
from edgepack.records import Artifact, Json, Sizes


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Latency of the artifact and of the float baseline, measured one after the other on this machine.

    Attributes:
      artifact, baseline: percentiles and spread in ms.
      circumstances: the measurements with everything that belongs beside a number, and one line that says it.
    """

    artifact: dict[str, Json]
    baseline: dict[str, Json]
    circumstances: dict[str, Json]


def weighed(artifact: Artifact, workspace: Workspace) -> Weighed:
    """Sizes, multiply-adds and parameters, read from the file."""
    record: dict[str, Any] = workspace.produce(*_weighing(artifact)).record
    return Weighed(
        sizes=Sizes(**record["sizes"]), macs=record["macs"], parameters=record["parameters"], latency_ms=None
    )


def weigh_ahead(artifact: Artifact, workspace: Workspace) -> None:
    """Has the file compressed while TensorFlow works: brotli at quality 11 takes seconds per megabyte."""
    workspace.ahead(*_weighing(artifact))


def _weighing(artifact: Artifact) -> tuple[str, dict[str, Json], Maker]:
    def make(directory: Path) -> Json:
        model = tflite.read(artifact.path)
        sizes = asdict(tflite.sizes(artifact.path))
        return {"sizes": sizes, "macs": tflite.macs(model), "parameters": tflite.parameters(model)}

    return "weigh", {"tflite": artifact.sha256}, make


def latencies(
    artifact: Artifact, baseline: Artifact, target: Device | None, workspace: Workspace
) -> Latencies:
    """Measures both on this machine, once: a rebuild that changes nothing finds the numbers in the store."""
    threads = target.threads if target is not None and target.transport == "local" else 1

    def timed(name: str, model: Artifact, begin: float) -> Json:
        def done(fraction: float) -> None:
            workspace.reporter.progress(f"timing the {name}", begin + fraction / 2)

        found = benchmark.measure(model.path, threads=threads, sha256=model.sha256, on_progress=done)
        return found.to_json()

    def make(directory: Path) -> Json:
        return {
            "artifact": timed(".tflite", artifact, 0.0),
            "baseline": timed("float model", baseline, 0.5),
        }

    parts: dict[str, Json] = {"tflite": artifact.sha256, "baseline": baseline.sha256, "threads": threads}
    record: dict[str, Any] = workspace.produce("bench", parts, make).record
    for warning in record["artifact"]["warnings"]:
        workspace.reporter.note("warning", f"latency: {warning}")
    return Latencies(
        artifact=record["artifact"]["latency_ms"],
        baseline=record["baseline"]["latency_ms"],
        circumstances={**record, "circumstances": told(record["artifact"])},
    )


def told(measurement: dict[str, Any]) -> str:
    """The circumstances of a measurement in one line."""
    stable = "" if measurement["stable"] else ", unstable"
    return (
        f"this machine ({measurement['cpu']}), {measurement['runtime']} {measurement['version']}, "
        f"{measurement['kernels']} kernels, {measurement['threads']} thread(s), {measurement['runs']} runs{stable}"
    )
