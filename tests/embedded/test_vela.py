"""Vela as a child with limits: what it says is read, what it refuses is told in its words."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgepack import device, embedded, errors, tflite
from edgepack.device import Device
from edgepack.embedded import vela
from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written
from tests.tflite.handmade_tflite import Handmade, dense


def _installed() -> bool:
    try:
        importlib.metadata.version(vela.DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


NEEDS_VELA = pytest.mark.skipif(not _installed(), reason="Vela is not installed")


def _npu(**changes: object) -> Device:
    return device.load("ethos-u55-128").model_copy(update=changes)


def _dense(path: Path, values: int = 200) -> Path:
    random = np.random.default_rng(values)
    kernel = random.choice(np.linspace(-1, 1, values), (512, 64)).astype(np.float32)
    path.write_bytes(_with_options(dense(kernel)))
    return path


def _with_options(data: bytes) -> bytes:
    """Vela's reader wants every op to have its options, be they all defaults."""
    model = unpacked(data)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    for op in model.subgraphs[0].operators:
        code = model.operatorCodes[op.opcodeIndex]
        stem = names[code.builtinCode].title().replace("_", "") + "Options"
        op.builtinOptionsType, op.builtinOptions = (
            getattr(schema.BuiltinOptions, stem),
            getattr(schema, stem + "T")(),
        )
    return written(model, len(data))


@NEEDS_VELA
def test_the_compiled_file_and_its_figures(tmp_path: Path) -> None:
    found = embedded.compile_model(_dense(tmp_path / "m.tflite"), _npu())
    assert found.codec == "vela" and found.data is not None and not found.complaints
    assert found.operators == ("AddEthosU",) and not found.cpu_operators
    assert found.flash_bytes == len(found.data)
    assert found.cycles is not None and found.cycles > 0
    assert found.ram_bytes is not None and found.ram_bytes >= 512 + 64
    (tmp_path / "v.tflite").write_bytes(found.data)
    assert tflite.operators(tflite.read(tmp_path / "v.tflite")) == {"ethos-u": 1}
    assert found.data == embedded.compile_model(tmp_path / "m.tflite", _npu()).data


@NEEDS_VELA
def test_few_values_take_less_flash_and_other_npus_other_cycles(tmp_path: Path) -> None:
    rich = embedded.compile_model(_dense(tmp_path / "rich.tflite", 200), _npu())
    poor = embedded.compile_model(_dense(tmp_path / "poor.tflite", 4), _npu())
    assert poor.flash_bytes < 0.5 * rich.flash_bytes
    other = embedded.compile_model(tmp_path / "rich.tflite", device.load("ethos-u65-256"))
    assert other.cycles != rich.cycles
    assert other.details["accelerator"] == "ethos-u65-256"


@NEEDS_VELA
def test_what_the_processor_keeps_is_named(tmp_path: Path) -> None:
    made = Handmade()
    source, between = made.tensor("x", (1, 8), scale=0.1), made.tensor("f", (1, 8), "float32")
    target = made.tensor("y", (1, 8), scale=0.1)
    made.op("DEQUANTIZE", [source], [between])
    made.op("QUANTIZE", [between], [target])
    path = tmp_path / "m.tflite"
    path.write_bytes(_with_options(made.to_bytes([source], [target])))
    found = embedded.compile_model(path, _npu())
    assert found.cpu_operators == {"DEQUANTIZE": 1, "QUANTIZE": 1}
    assert any("left to the processor" in note and "DEQUANTIZE ×1" in note for note in found.notes)


@NEEDS_VELA
def test_ram_that_the_chip_lacks(tmp_path: Path) -> None:
    found = embedded.compile_model(_dense(tmp_path / "m.tflite"), _npu(ram_bytes=100))
    assert "RAM: the model needs" in found.complaints[0]


@NEEDS_VELA
def test_files_that_it_cannot_take(tmp_path: Path) -> None:
    path = _dense(tmp_path / "m.tflite")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.ModelError):
        embedded.compile_model(path, _npu())
    path.write_bytes(whole)
    with pytest.raises(errors.ModelError, match="ethos-u55-99"):
        embedded.compile_model(path, _npu(accelerator="ethos-u55-99"))
    compiled = embedded.compile_model(path, _npu())
    assert compiled.data is not None
    path.write_bytes(compiled.data)
    with pytest.raises(errors.ModelError, match="compiled for an Ethos-U already"):
        embedded.compile_model(path, _npu())


def test_without_it_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vela, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(errors.MissingDependencyError, match=r'pip install "edgepack\[npu\]"') as caught:
        embedded.compile_model(_dense(tmp_path / "m.tflite"), _npu())
    assert caught.value.exit_code == 69


@pytest.mark.parametrize(
    ("script", "expected", "message"),
    [
        ("import time; time.sleep(60)", errors.ChildCrashError, "did not come to an end within 1 s"),
        ("import os; os.kill(os.getpid(), 11)", errors.ChildCrashError, "ended by signal 11"),
        (
            "import sys; print('no module', file=sys.stderr); sys.exit(69)",
            errors.MissingDependencyError,
            "no module",
        ),
    ],
)
def test_a_child_that_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    expected: type[errors.EdgepackError],
    message: str,
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(vela.sys, "executable", str(fake))
    with pytest.raises(expected, match=message):
        vela._run([], 1)
