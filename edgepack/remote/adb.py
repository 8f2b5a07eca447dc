"""Android by adb: the model and LiteRT's ``benchmark_model`` (which is on the device already), by the clock of the device.

Phones have no Python; what can be asked there is the benchmark tool, whose log is read. Golden vectors are not run by
it, and the result says so.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.device import Connection, Device
from edgepack.records import Json
from edgepack.remote.exchange import Exchange, exchange
from edgepack.remote.reaching import host_of
from edgepack.remote.subject import Subject, Wish

FOLDER: Final = "/data/local/tmp"
TOOL: Final = "/data/local/tmp/benchmark_model"
PUSH_S: Final = 120.0
CLEAN_S: Final = 10.0
TIMES: Final = re.compile(
    r"Inference timings in us: Init: (?P<init>\d+), First inference: (?P<first>\d+), "
    r"Warmup \(avg\): (?P<warmup>[\d.e+]+), Inference \(avg\): (?P<mean>[\d.e+]+)"
)
COUNTED: Final = re.compile(
    r"count=(?P<runs>\d+) first=\d+ curr=\d+ min=(?P<min>\d+) max=(?P<max>\d+) avg=[\d.e+]+ std=(?P<std>[\d.e+]+)"
    r"(?: p5=(?P<p5>\d+) median=(?P<p50>\d+) p95=(?P<p95>\d+))?"
)
MEMORY: Final = re.compile(r"overall[=:]\s*(?P<mb>[\d.]+)")
CODE: Final = re.compile(r"^edgepack-code (\d+)\s*$", re.M)
NO_DEVICE: Final = re.compile(
    r"device '.*' not found|no devices|device offline|cannot connect|device unauthorized"
)


def measure(device: Device, subjects: Sequence[Subject], wish: Wish) -> tuple[str, dict[str, Json]]:
    """Pushes the model, checks what arrived, runs the tool, removes the model.

    Raises:
      UnreachableError, LoginError: no such device, or it has not allowed this computer.
      DeviceStorageError, TransferError, MissingWheelError, DeviceSignalError, DeviceTimeoutError, ConnectionLostError,
      DeviceProtocolError.
    """
    if len(subjects) != 1:
        raise errors.DeviceError(
            f"{device.name}: benchmark_model takes one model; two cannot take turns there"
        )
    own = device.connection or Connection()
    phone = _Phone(device.name, host_of(device), own, wish.timeout_s or float(own.timeout_s))
    target = f"{own.folder or FOLDER}/edgepack-{secrets.token_hex(8)}.tflite"
    try:
        phone.push(subjects[0], target)
        said = phone.run(target, wish, wish.threads or device.threads)
    finally:
        phone.remove(target)
    return phone.where, _numbers(said, phone.where, subjects[0].sha256)


class _Phone:
    def __init__(self, name: str, serial: str, connection: Connection, timeout_s: float) -> None:
        self.where = f"{name} (adb {serial})"
        self.serial = serial
        self.tool = connection.benchmark_model or TOOL
        self.timeout_s = timeout_s

    def push(self, subject: Subject, target: str) -> None:
        with tempfile.NamedTemporaryFile(prefix="edgepack-", suffix=".tflite") as file:
            Path(file.name).write_bytes(subject.model)
            found = self._adb(["push", file.name, target], PUSH_S)
        said = _said(found)
        if found.code != 0 and re.search(r"No space left|Disk quota", said):
            raise errors.DeviceStorageError(
                f"{self.where}: the disk is full: {len(subject.model):,} bytes needed in {target.rpartition('/')[0]}"
            )
        if found.code != 0:
            raise errors.ConnectionLostError(f"{self.where}: pushing the model failed: {_last(said)}")
        arrived = self._shell(f"sha256sum {target}", CLEAN_S)
        if subject.sha256 not in arrived:
            raise errors.TransferError(f"{self.where}: the model arrived damaged: {_last(arrived)}")

    def run(self, target: str, wish: Wish, threads: int) -> str:
        said = self._shell(
            f"{self.tool} --graph={target} --num_threads={threads} --min_secs={wish.seconds:g} "
            f"--max_secs={2 * wish.seconds:g} --report_peak_memory_footprint=true",
            self.timeout_s,
        )
        code = CODE.search(said)
        if code is None:
            raise errors.ConnectionLostError(
                f"{self.where}: the connection broke while the program ran: {_last(said)}"
            )
        number = int(code[1])
        if number in (126, 127):
            raise errors.MissingWheelError(
                f"{self.where}: no benchmark_model at {self.tool}: push the one of LiteRT's releases for this processor "
                "there (adb push, chmod +x), or name its path in the profile, [connection] benchmark_model"
            )
        if number == 137:
            raise errors.DeviceMemoryError(
                f"{self.where}: Android ended the program, most often for want of memory"
            )
        if number > 128:
            raise errors.DeviceSignalError(f"{self.where}: the program was ended by signal {number - 128}")
        if number != 0:
            raise errors.DeviceProtocolError(
                f"{self.where}: benchmark_model ended with code {number}: {_last(CODE.sub('', said))}"
            )
        return said

    def remove(self, target: str) -> None:
        # A device that is gone cannot be tidied; the first error is the one to tell.
        exchange(["adb", "-s", self.serial, "shell", f"rm -f {target}"], b"", timeout_s=CLEAN_S)

    def _shell(self, command: str, timeout_s: float) -> str:
        found = self._adb(["shell", f"{command} 2>&1; code=$?; echo; echo edgepack-code $code"], timeout_s)
        return _said(found)

    def _adb(self, words: Sequence[str], timeout_s: float) -> Exchange:
        found = exchange(["adb", "-s", self.serial, *words], b"", timeout_s=timeout_s)
        said = found.complaints.decode(errors="replace")
        if found.code is None:
            raise errors.DeviceTimeoutError(
                f"{self.where}: 'adb {words[0]}' did not finish within {timeout_s:g} s and was ended"
            )
        if found.code != 0 and "unauthorized" in said:
            raise errors.LoginError(
                f"{self.where}: the device has not allowed this computer: answer its question"
            )
        if found.code != 0 and NO_DEVICE.search(said):
            raise errors.UnreachableError(
                f"{self.where}: {_last(said)}; 'adb devices' lists those that are there"
            )
        return found


def _numbers(said: str, where: str, sha256: str) -> dict[str, Json]:
    """Milliseconds of the tool's log, under the names of `benchmark.Latency` where they are the same thing."""
    times, counts = TIMES.search(said), list(COUNTED.finditer(said))
    if times is None or not counts:
        raise errors.DeviceProtocolError(f"{where}: benchmark_model's log has no timings: {_last(said)}")
    last = counts[-1]
    shares = {"p50": "p50", "p5": "p5", "p95": "p95", "min": "min", "max": "max", "stdev": "std"}
    latency: dict[str, Json] = {name: float(last[key]) / 1e3 for name, key in shares.items() if last[key]}
    latency["mean"] = float(times["mean"]) / 1e3
    memory = MEMORY.search(said)
    return {
        "sha256": sha256,
        "tool": "benchmark_model",
        "runs": int(last["runs"]),
        "latency_ms": latency,
        "first_inference_ms": int(times["first"]) / 1e3,
        "load_ms": int(times["init"]) / 1e3,
        "peak_memory_mb": float(memory["mb"]) if memory else None,
        "golden": None,
    }


def _said(found: Exchange) -> str:
    return (found.output + found.complaints).decode(errors="replace")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing was said"
