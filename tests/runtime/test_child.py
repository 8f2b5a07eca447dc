"""Whatever happens in the child, the parent gets one clear error."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors, runtime
from edgepack.runtime import availability, client
from tests import handmade

OLD = runtime.available()["tflite-runtime"] is not None


def _ask_raw(model: Path, name: str) -> dict[str, np.ndarray]:
    return dict(runtime.run_golden(model, {"x": np.zeros((1, 64), np.float32)}, runtime=name))


def test_available_reads_metadata_only() -> None:
    code = (
        "import sys; from edgepack import runtime; assert runtime.available()['litert']; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow", "pydantic"} & set(
        loaded
    )


def test_unknown_and_missing_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.MissingDependencyError, match="unknown runtime 'onnx'"):
        runtime.require("onnx")
    monkeypatch.setitem(availability.DISTRIBUTIONS, "litert", "no-such-distribution")
    assert runtime.available()["litert"] is None
    with pytest.raises(errors.MissingDependencyError, match="pip install"):
        runtime.require("litert")


def test_tflite_runtime_on_a_newer_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(availability.DISTRIBUTIONS, "tflite-runtime", "no-such-distribution")
    monkeypatch.setattr(availability, "NEWEST_PYTHON_OF_TFLITE_RUNTIME", (3, 8))
    with pytest.raises(errors.MissingDependencyError, match=r"no wheels for Python 3\.\d+.*--runtime litert"):
        runtime.require("tflite-runtime")


def test_a_runtime_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('built for another glibc')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = handmade.quantizer(tmp_path / "m.tflite", scale=1.0, zero_point=0)
    with pytest.raises(errors.MissingDependencyError, match="cannot be imported: built for another glibc"):
        _ask_raw(model, "litert")


def test_python_files_beside_the_user_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade.quantizer(tmp_path / "m.tflite", scale=1.0, zero_point=0)
    for name in ("json", "numpy", "ctypes"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert _ask_raw(Path("m.tflite"), "litert")["q"].shape == (1, 64)


def test_not_a_model(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_text("this is text")
    with pytest.raises(errors.ModelError, match=r"m\.tflite: litert cannot load it"):
        _ask_raw(model, "litert")
    with pytest.raises(errors.StorageError, match="No such file"):
        _ask_raw(tmp_path / "absent.tflite", "litert")


def test_time_limit() -> None:
    began = time.monotonic()
    with pytest.raises(errors.ChildCrashError, match=r"did not finish within 0\.01 s"):
        runtime.ask("time", {}, timeout_s=0.01)
    assert time.monotonic() - began < 5


def test_memory_limit(tmp_path: Path) -> None:
    model = handmade.quantizer(tmp_path / "m.tflite", scale=1.0, zero_point=0)
    with pytest.raises(errors.EdgepackError) as caught:
        runtime.run_golden(model, {"x": np.zeros((1, 64), np.float32)}, memory_bytes=1 << 26)
    assert caught.value.exit_code in (69, 70)


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "out-of-memory killer"), (signal.SIGABRT, "SIGABRT")],
)
def test_death_by_signal_is_explained(number: signal.Signals, words: str) -> None:
    with pytest.raises(errors.ChildCrashError, match=words):
        client._result(b"", -number, "litert: 'predict'", "")


def test_an_answer_that_never_came() -> None:
    with pytest.raises(errors.ChildCrashError, match="exit code 3 and no answer"):
        client._result(b"", 3, "litert: 'predict'", "")


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    model = handmade.quantizer(tmp_path / "m.tflite", scale=1.0, zero_point=0)
    code = (
        "from edgepack import runtime\n"
        f"arguments = dict(model={str(model)!r}, kernels='default', threads=1, seconds=120.0, seed=0)\n"
        "runtime.ask('time', {**arguments, 'vectors': None, 'sha256': None})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 30
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    command = Path(f"/proc/{found[0]}/cmdline")
    time.sleep(1.5)  # past its imports, into the clockwork
    parent.kill()
    parent.wait()
    while command.exists() and b"edgepack.runtime" in command.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not (command.exists() and b"edgepack.runtime" in command.read_bytes())


def _mutations(good: bytes, count: int) -> list[bytes]:
    found = []
    for number in range(count):
        rng = random.Random(number)
        bad = bytearray(good)
        if number % 3 == 0:
            bad = bad[: rng.randrange(8, len(bad))]
        elif number % 3 == 1:
            for _ in range(8):
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        else:
            place = rng.randrange(0, len(bad) - 4) & ~3
            bad[place : place + 4] = rng.randbytes(4)
        found.append(bytes(bad))
    return found


@pytest.mark.parametrize("name", ["litert", *(["tflite-runtime"] if OLD else [])])
def test_damaged_models_never_kill_the_parent(tmp_path: Path, name: str) -> None:
    """Old runtimes die of a signal on some of these (tflite-runtime 2.14: on about one in four)."""
    good = handmade.quantizer(tmp_path / "good.tflite", scale=1.0, zero_point=0).read_bytes()
    kinds = set()
    for number, bad in enumerate(_mutations(good, 4)):
        model = tmp_path / f"{number}.tflite"
        model.write_bytes(bad)
        try:
            _ask_raw(model, name)
            kinds.add("loaded")
        except errors.EdgepackError as error:
            kinds.add(type(error).__name__)
            assert "Traceback" not in str(error).splitlines()[0]
    assert kinds & {"ModelError", "ChildCrashError"}


@pytest.mark.slow
@pytest.mark.skipif(not OLD, reason="tflite-runtime is not installed (no wheel for this Python)")
def test_the_runtime_that_crashes(tmp_path: Path, shared_models: Path) -> None:
    good = (shared_models / "reference_tflite" / "hello_world_int8.tflite").read_bytes()
    deaths = 0
    for number, bad in enumerate(_mutations(good, 90)):
        model = tmp_path / f"{number}.tflite"
        model.write_bytes(bad)
        try:
            runtime.run_golden(model, {"x": np.zeros((1, 1), np.int8)}, runtime="tflite-runtime")
        except errors.ChildCrashError as error:
            deaths += 1
            assert "ended by SIG" in str(error)
        except errors.EdgepackError:
            continue
    assert deaths > 0


@pytest.mark.parametrize("user", [None, 65534])
def test_a_child_can_give_up_the_network(user: int | None) -> None:
    """As root and as anybody: no network afterwards, and the same files."""
    if user is not None and os.geteuid() != 0:
        pytest.skip("another user is tried by root only")
    code = f"""
import os, socket
from edgepack import child
if {user}: os.setuid({user})
left = child.leave_network()
interfaces = [name for _, name in socket.if_nameindex()]
print(left, interfaces, len(open("/etc/passwd").read()) > 0)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    if said.startswith("False"):
        pytest.skip("this system lets nobody give up the network; edgepack doctor says so")
    assert said == "True ['lo'] True\n"


def test_interpreters_run_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = tmp_path / "sitecustomize.py"
    called.write_text(
        "from edgepack import child\n"
        f"child.leave_network = lambda: open({str(tmp_path / 'called')!r}, 'w').close()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = handmade.quantizer(tmp_path / "m.tflite", scale=1.0, zero_point=0)
    _ask_raw(model, "litert")
    assert (tmp_path / "called").exists()
