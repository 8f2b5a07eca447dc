"""A device that can be reached → its profile and its table of measured operators."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import device, errors
from edgepack.benchmark import latency_table, runner
from edgepack.device import Connection, Device
from edgepack.durable import write_atomically
from edgepack.records import Json, file_sha256
from edgepack.remote.hearing import heard, json_object, require_kinds
from edgepack.remote.job import Job, Ran, Transport
from edgepack.remote.measuring import status_of
from edgepack.remote.reaching import reach

FACTS_LINE: Final = re.compile(r"^edgepack-facts (\{.*\})$", re.M)
FACTS_S: Final = 60.0
TABLE_S: Final = 3600.0
RUNTIMES: Final = {"ai-edge-litert": "litert", "tflite-runtime": "tflite-runtime"}
WIDTHS: Final = {"asimd": 128, "neon": 128, "sse4_1": 128, "avx2": 256, "avx512f": 512, "avx512_vnni": 512}
"""Feature of /proc/cpuinfo → width of its registers."""
NAMED: Final = {"asimd": "neon", "asimddp": "dotprod", "i8mm": "i8mm"}
TOLD: Final = frozenset({*WIDTHS, *NAMED, "avx_vnni"})


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What was written.

    Attributes:
      facts: as the device told them.
      profile: the file.
      table: the file; None where none was wanted, or an emulator answered.
      warnings: what makes the table doubtful.
    """

    facts: dict[str, Json]
    profile: Path
    table: Path | None
    warnings: tuple[str, ...]


def probe(target: Device, name: str, folder: Path, *, kind: str, with_table: bool = True) -> Probed:
    """Asks the device what it is, measures its operators, writes both.

    Args:
      target: how it is reached.
      name: of the new profile.
      folder: where NAME.toml goes, and latency/NAME.json.
      kind: profile that it is like, whose keys hold where nothing was measured.

    Raises:
      MissingWheelError: no runtime is installed there. DeviceError and others: see `Transport.run`.
      RecipeError: the profile would not be one.
      StorageError: writing failed.
    """
    transport = reach(target)
    facts, ran = _facts(transport)
    runtime = next((RUNTIMES[each] for each in RUNTIMES if each in facts["runtimes"]), None)
    if runtime is None or "numpy" not in facts["runtimes"]:
        raise errors.MissingWheelError(
            f"{transport.where}: Python {facts['python']} there has no interpreter for .tflite: install one into the "
            "Python that [connection] python names: pip install ai-edge-litert numpy"
        )
    table = warnings = None
    if with_table and ran.emulated_on is None:
        found = latency_table.measure_table(lambda models: _timed(transport, models, runtime))
        warnings, table = found["warnings"], folder / "latency" / f"{name}.json"
    with heard(transport.where):
        text = profile_text(target, name, facts, runtime, kind=kind, has_table=table is not None)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    if table is not None:
        table.parent.mkdir(exist_ok=True)
        write_atomically(table, (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(path, text.encode())
    device.load(str(path), beside=folder.parent)  # it must be one
    return Probed(facts=facts, profile=path, table=table, warnings=tuple(warnings or ()))


def _facts(transport: Transport) -> tuple[dict[str, Any], Ran]:
    program = (Path(__file__).parent / "facts.py").read_bytes()
    ran = transport.run(Job(files={"facts.py": program}, program="facts.py", timeout_s=FACTS_S))
    found = FACTS_LINE.search(ran.output)
    if found is None:
        raise errors.DeviceProtocolError(
            f"{transport.where}: did not tell what it is; code {ran.code}: {ran.last_words[-300:]}"
        )
    with heard(transport.where):
        facts = json_object(found[1])
        require_kinds(facts)
        if not all(isinstance(each, str) for each in (*facts["features"], facts["machine"], facts["cpu"])):
            raise TypeError("features, machine and cpu are words")
        return {**facts, "runtimes": dict(facts["runtimes"])}, ran


def _timed(transport: Transport, models: Sequence[Path], runtime: str) -> Any:
    files = {runner.RUNNER_FILE: runner.build_runner(), **{path.name: path.read_bytes() for path in models}}
    request = runner.RunnerRequest(
        task="time_each",
        models=tuple(runner.RunnerModel(file=path.name, sha256=file_sha256(path)) for path in models),
        runtime=runtime,
        seconds=latency_table.SECONDS,
        rounds=latency_table.ROUNDS,
        timeout_s=TABLE_S,
    )
    files[runner.REQUEST_FILE] = runner.request_bytes(request)
    job = Job(
        files=files, program=runner.RUNNER_FILE, arguments=(runner.REQUEST_FILE,), timeout_s=TABLE_S + 2.0
    )
    status = status_of(transport.run(job), transport.where)
    with heard(transport.where):
        return runner.timed_each(status)


def profile_text(
    target: Device,
    name: str,
    facts: Mapping[str, Any],
    runtime: str,
    *,
    kind: str,
    has_table: bool,
) -> str:
    """The profile's TOML."""
    own = target.connection or Connection()
    simd = sorted(NAMED.get(each, each) for each in TOLD & set(facts["features"]))
    width = max((WIDTHS[each] for each in facts["features"] if each in WIDTHS), default=None)
    measured: dict[str, Json] = {
        "cores": facts["cores"],
        "clock_mhz": facts["clock_mhz"],
        "simd_bits": width,
        "memory_bytes": facts["memory_bytes"],
    }
    measured = {key: value for key, value in measured.items() if value}
    values: dict[str, Json] = {"edgepack": 1, "name": name}
    values |= {
        "like": kind,
        "title": f"{facts['cpu']}, probed",
        "architecture": facts["machine"],
        "cpu": facts["cpu"],
    }
    values |= {"runtime": runtime, "simd": [*simd], **measured}
    values |= {"latency_table": name} if has_table else {}
    lines = [
        f"# Measured by edgepack devices probe: {_word(facts['system'])}, Python {_word(facts['python'])}."
    ]
    lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    set_ = own.model_dump(exclude_defaults=True)
    lines += ["", "[connection]", *(f"{key} = {_toml(value)}" for key, value in set_.items())] if set_ else []
    lines += ["", "[[source]]", f"for_keys = {_toml(list(measured))}"]
    lines += [f"document = {_toml('measured: edgepack devices probe, ' + _word(facts['cpu']))}", ""]
    return "\n".join(lines)


def _toml(value: Json) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(_word(value)) if isinstance(value, str) else json.dumps(value)


def _word(told: Any) -> str:
    """What a device says of itself, on one line and not too long."""
    return re.sub(r"[^ -~]", "?", str(told))[:255]
