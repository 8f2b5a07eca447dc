"""``bench --device``: what is admitted, the devices at once, their answers and the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.remote.measuring import Answer
    from edgepack.remote.subject import Subject, Wish


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be measured where."""

    file: Path
    against: Path | None
    devices: tuple[str, ...]
    host: str | None
    wish: Wish


def bench_devices(
    asked: Asked, keys: Sequence[Path], trust: Path | None, *, allow_unsigned: bool, as_json: bool
) -> int:
    """Measures and tells; the exit code is that of the first device that failed."""
    from edgepack import device
    from edgepack.remote.measuring import measure_all

    profiles = [device.load(name, beside=Path.cwd(), host=asked.host) for name in asked.devices]
    files = [asked.file] if asked.against is None else [asked.file, asked.against]
    subjects = [_subject(file, keys, trust, allow_unsigned=allow_unsigned) for file in files]
    answers = measure_all(profiles, subjects, asked.wish)
    if as_json:
        told = {
            "schema": "edgepack.bench/1",
            "file": str(asked.file),
            "against": str(asked.against) if asked.against else None,
            "devices": [answer.to_json() for answer in answers],
        }
        say(json.dumps(told, indent=1))
    elif any(answer.failure is None for answer in answers) or len(answers) > 1:
        say("\n".join(line for answer in answers for line in _lines(answer)))
    failures = [answer.failure for answer in answers if answer.failure is not None]
    if len(answers) == 1 and failures:
        raise failures[0]
    return failures[0].exit_code if failures else 0


def _subject(file: Path, keys: Sequence[Path], trust: Path | None, *, allow_unsigned: bool) -> Subject:
    """What a device may get of a file.

    Raises:
      TrustError: nobody vouches for it, and --allow-unsigned was not said.
      ModelError, PackageError: it is damaged, or no .tflite.
    """
    from edgepack import bundle, errors, tflite
    from edgepack.cli.opening import kind_of
    from edgepack.remote.subject import Subject

    if kind_of(file) == "package":
        package = bundle.admit(file, keys=keys, trust=trust, allow_unsigned=allow_unsigned).package()
        return Subject(name=str(file), model=package.model, golden=package.golden.encode())
    if keys or trust is not None or not allow_unsigned:
        raise errors.TrustError(
            f"{file}: is no package, and only packages are signed; to run it on a device all the same, say "
            "--allow-unsigned"
        )
    tflite.read(file)
    return Subject(name=str(file), model=file.read_bytes())


def _lines(answer: Answer) -> list[str]:
    if answer.failure is not None:
        return [f"{answer.where}: failed, exit code {answer.failure.exit_code}: {answer.failure}"]
    found: dict[str, Any] = answer.result or {}
    lines = [answer.where]
    if "ratio" in found:
        lines.append(
            f"  A/B {found['ratio']:.3f}, {found['confidence']:.0%} interval {found['low']:.3f} … {found['high']:.3f}"
        )
    elif "p50_us" in found:
        lines.append(
            f"  p50 {found['p50_us'] / 1e3:.3f} ms, arena {found['arena_bytes']:,} bytes, {found['runs']} runs"
        )
        if not found["model_checked"]:
            lines.append("  warning: the firmware does not say which model it has inside")
    else:
        lines += _latency(found)
    lines += [f"  warning: {text}" for text in found.get("warnings", ())]
    return [*lines, f"  sha256 {found['sha256']}"] if "sha256" in found else lines


def _latency(found: dict[str, Any]) -> list[str]:
    lines = []
    if "latency_ms" in found:
        times = ", ".join(
            f"{name} {found['latency_ms'][name]:.4f} ms"
            for name in ("p10", "p50", "p90", "p99", "mean", "mad")
            if name in found["latency_ms"]
        )
        first, load = found["first_inference_ms"], found["load_ms"]
        lines += [f"  {times}", f"  first inference {first:.3f} ms, load {load:.2f} ms"]
    if "cpu" in found:
        lines.append(
            f"  {found['runs']:,} runs, {found['runtime']} {found['version']}, {found['kernels']} kernels, "
            f"{found['threads']} thread(s), {found['cpu']} ({found['machine']}), {found['cores']} cores"
        )
    golden = found.get("golden")
    told = "none were checked" if golden is None else "; ".join(map(_golden, golden["outputs"]))
    return [*lines, f"  golden vectors: {told}"]


def _golden(output: dict[str, Any]) -> str:
    return f"{output['name']} within {output['difference']:g} of {output['tolerance']:g}"
