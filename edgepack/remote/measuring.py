"""Measuring models on devices: hash and golden vectors first, then the clock, on many devices at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from edgepack import errors
from edgepack.benchmark import runner
from edgepack.device import Device
from edgepack.records import Json
from edgepack.remote import adb, serial_line
from edgepack.remote.hearing import heard, require_kinds
from edgepack.remote.job import Job, Ran
from edgepack.remote.reaching import reach
from edgepack.remote.subject import Subject, Wish

MOST_AT_ONCE: Final = 16
DEFAULT_TIMEOUT_S: Final = 300.0
TIMES: Final = (
    "latency_ms", "first_inference_ms", "load_ms", "allocate_ms", "a_ms", "b_ms", "ratio", "low", "high", "confidence",
    "differs", "stable", "states", "strain",
)  # fmt: skip
"""Of a result: what an emulator must not tell."""
SPECIAL: Final = {"adb": adb.measure, "serial": serial_line.measure}
"""Ways to devices without a Python: they have a program of their own that measures."""
RUNTIMES: Final = {"litert": "litert", "tflite-runtime": "tflite-runtime"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one device: a result, or why there is none.

    Attributes:
      device: name of its profile.
      where: the device and the way to it.
      result: flat, as `benchmark` tells measurements and comparisons, with "golden"; None where it failed.
      failure: None where it went well.
    """

    device: str
    where: str
    result: dict[str, Json] | None = None
    failure: errors.EdgepackError | None = None

    def to_json(self) -> dict[str, Json]:
        head: dict[str, Json] = {"device": self.device, "where": self.where}
        if self.failure is not None:
            told: dict[str, Json] = {
                "kind": type(self.failure).__name__,
                "exit_code": self.failure.exit_code,
                "message": str(self.failure),
            }
            return {**head, "status": "failed", "error": told}
        return {**head, "status": "ok", **(self.result or {})}


def measure_all(devices: Sequence[Device], subjects: Sequence[Subject], wish: Wish) -> list[Answer]:
    """Measures one model, or two in turns, on every device at the same time; one that fails does not stop the others."""

    def one(device: Device) -> Answer:
        try:
            where, result = measure(device, subjects, wish)
            return Answer(device=device.name, where=where, result=result)
        except errors.EdgepackError as failure:
            return Answer(device=device.name, where=device.name, failure=failure)

    with ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, max(1, len(devices)))) as pool:
        return list(pool.map(one, devices))


def measure(device: Device, subjects: Sequence[Subject], wish: Wish) -> tuple[str, dict[str, Json]]:
    """Measures on one device.

    Args:
      subjects: one model to time, or two to compare in turns.

    Returns:
      the device and the way to it, in words; the result.

    Raises:
      DeviceError, ChildCrashError, StorageError: each way to fail has a class of its own.
      GateError: it computes something else than its package promises.
    """
    if device.transport in SPECIAL:
        return SPECIAL[device.transport](device, subjects, wish)
    transport = reach(device)
    ran = transport.run(job_of(device, subjects, wish))
    return transport.where, measured(ran, transport.where, [subject.sha256 for subject in subjects])


def job_of(device: Device, subjects: Sequence[Subject], wish: Wish) -> Job:
    """The runner, its request, and the models with their golden vectors."""
    own = device.connection
    timeout_s = wish.timeout_s or (float(own.timeout_s) if own is not None else DEFAULT_TIMEOUT_S)
    if device.runtime not in RUNTIMES and wish.runtime is None:
        raise errors.DeviceError(
            f"{device.name}: its runtime is {device.runtime}, which Python cannot drive; name another with --runtime"
        )
    files: dict[str, bytes] = {runner.RUNNER_FILE: runner.build_runner()}
    models = []
    for number, subject in enumerate(subjects):
        model, golden = f"model-{number}.tflite", f"golden-{number}.bin"
        files[model] = subject.model
        table = None
        if subject.golden is not None:
            table, files[golden] = subject.golden
        models.append(
            runner.RunnerModel(
                file=model, sha256=subject.sha256, golden=table, golden_file=golden if table else None
            )
        )
    request = runner.RunnerRequest(
        task="time" if len(models) == 1 else "time_pair",
        models=tuple(models),
        runtime=wish.runtime or RUNTIMES[device.runtime],
        kernels=wish.kernels,
        threads=wish.threads or device.threads,
        seconds=wish.seconds,
        rounds=wish.rounds,
        timeout_s=timeout_s,
        delegate=wish.delegate,
        delegate_options=wish.delegate_options,
    )
    files[runner.REQUEST_FILE] = runner.request_bytes(request)
    # The runner's own limit comes first: it can say what it was doing.
    return Job(
        files=files, program=runner.RUNNER_FILE, arguments=(runner.REQUEST_FILE,), timeout_s=timeout_s + 2.0
    )


def status_of(ran: Ran, where: str) -> dict[str, Any]:
    """The runner's final status.

    Raises:
      DeviceMemoryError, DeviceProtocolError: there is none. Others: what it tells.
    """
    status = runner.parse_status(ran.output, device=where)
    if status is not None:
        return status
    words = " | ".join(line for line in ran.last_words.splitlines()[-3:])
    if "MemoryError" in ran.last_words:
        raise errors.DeviceMemoryError(f"{where}: out of memory before anything was measured: {words}")
    raise errors.DeviceProtocolError(
        f"{where}: the runner ended with code {ran.code} and told no result{': ' + words if words else ''}"
    )


def _golden(told: Mapping[str, Any] | None) -> Json:
    """What was found of golden vectors, with what is shown of every output; inside `heard`."""
    if told is None:
        return None
    outputs: list[Json] = [
        {"name": each["name"], "difference": each["difference"], "tolerance": each["tolerance"], **each}
        for each in told["outputs"]
    ]
    return {**told, "outputs": outputs}


def _require_runs(windows: Sequence[Sequence[int]]) -> None:
    """Whole nanoseconds, at least one in every window; inside `heard`."""
    for window in windows:
        if not window or not all(type(run) is int and 0 <= run < 1 << 53 for run in window):
            raise ValueError("a window without runs, or a run that took no time that there is")


def measured(ran: Ran, where: str, sha256: Sequence[str]) -> dict[str, Json]:
    """What the runner measured, flat; without times where an emulator computed.

    Args:
      sha256: of the models that were sent.

    Raises:
      DeviceProtocolError: it tells of other models, or what cannot be. Others: what it tells.
    """
    status = status_of(ran, where)
    with heard(where):
        golden = [_golden(each) for each in status["golden"]]
        for result in status["results"]:
            _require_runs(result.get("windows_ns", ()))
        if status["sha256"] != list(sha256):
            raise ValueError("it measured other models than were sent")
        if len(sha256) == 1:
            (result,) = runner.measurements(status)
            told = {**result.to_json(), "golden": golden[0]}
        else:
            told = {**runner.comparison(status).to_json(), "golden": golden}
        require_kinds(told)
    if ran.emulated_on is None:
        return told
    warning = f"emulated on {ran.emulated_on}: it computes as the device does; its milliseconds would not be the device's"
    return {
        **{name: value for name, value in told.items() if name not in TIMES},
        "emulated": True,
        "warnings": [warning],
    }
