"""What a built model takes on its device: measured where the device is attached, else predicted, else said unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack import device, tflite
from edgepack.benchmark.latency_table import predicted_us, unmeasured
from edgepack.device import Device
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Budget, Recipe
from edgepack.records import Artifact, Json
from edgepack.remote import Job, reach
from edgepack.remote.measuring import SPECIAL, measure
from edgepack.remote.subject import Subject, Wish

HELLO = b"print('ready')\n"
HELLO_S = 30.0


@dataclass(frozen=True, kw_only=True)
class OnDevice:
    """Time of one inference on the device.

    Attributes:
      how: "measured", "predicted" or "unverified".
      ms: the median, or the prediction; None where nobody knows.
      told: everything known, for build.json.
    """

    how: str
    ms: float | None
    told: dict[str, Json]

    def to_json(self) -> dict[str, Json]:
        return {"how": self.how, "ms": self.ms, **self.told}

    def complaints(self, budget: Budget, target: Device) -> list[str]:
        """Why the package must not ship; a prediction counts as far as its table's error allows."""
        limit = budget.max_latency_ms
        if limit is None or self.ms is None or self.ms <= limit:
            return []
        return [
            f"latency: {self.ms:.3f} ms {self.how} for {target.name}, more than [budget] max_latency_ms = {limit:g}"
        ]


def attached(target: Device | None) -> bool:
    """Whether it is said which device it is."""
    return target is not None and target.connection is not None and target.connection.host is not None


def require_answer(devices: Sequence[Device]) -> None:
    """Before time is spent: every attached device must run a program.

    Raises:
      DeviceError: what `Transport.run` raises.
    """
    for each in devices:
        if attached(each) and each.transport not in SPECIAL:
            reach(each).run(Job(files={"hello.py": HELLO}, program="hello.py", timeout_s=HELLO_S))


def on_device(artifact: Artifact, target: Device, recipe: Recipe, workspace: Workspace) -> OnDevice:
    """Measures, predicts or says that neither can be done.

    Raises:
      DeviceError, ChildCrashError, StorageError: an attached device failed.
    """
    if attached(target):
        return _measured(artifact, target, workspace)
    if target.latency_table is not None:
        table = device.latency_model(target.latency_table, beside=recipe.directory)
        model = tflite.read(artifact.path)
        missing: list[Json] = [*unmeasured(model, table)]
        told: dict[str, Json] = {"table": target.latency_table, "unmeasured": missing}
        return OnDevice(how="predicted", ms=predicted_us(model, table) / 1e3, told=told)
    reason = f"no {target.name} is attached and its profile has no table of measured operators"
    return OnDevice(how="unverified", ms=None, told={"reason": reason})


def _measured(artifact: Artifact, target: Device, workspace: Workspace) -> OnDevice:
    def make(directory: Path) -> Json:
        subject = Subject(name=str(artifact.path), model=artifact.path.read_bytes())
        where, found = measure(target, [subject], Wish())
        return {"where": where, **found}

    assert target.connection is not None
    parts: dict[str, Json] = {
        "tflite": artifact.sha256,
        "device": target.name,
        "connection": target.connection.model_dump(mode="json"),
        "threads": target.threads,
    }
    told: dict[str, Any] = workspace.produce("device bench", parts, make).record
    if "p50_us" in told:
        return OnDevice(how="measured", ms=told["p50_us"] / 1e3, told=told)
    if "latency_ms" not in told:  # an emulator answered
        return OnDevice(how="unverified", ms=None, told={**told, "reason": told["warnings"][0]})
    times = told["latency_ms"]
    return OnDevice(how="measured", ms=times.get("p50", times["mean"]), told=told)
