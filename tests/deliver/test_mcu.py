"""Sources that compile to the model's very bytes, images that read back equal, and refusals before anything is written."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import intelhex
import numpy as np
import pytest

from edgepack import device, errors
from edgepack.deliver import deliver
from edgepack.deliver import mcu as receiver
from edgepack.deliver.mcu import images
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.embedded import operators

NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
CHECK = """
#include <stdio.h>
#include <stdint.h>
#include "tiny_model.h"
#include "tiny_model_golden.h"
int main(void) {
  if ((uintptr_t)tiny_model_model % 16) return 3;
  if (tiny_model_model_len != TINY_MODEL_BYTES) return 4;
  fwrite(tiny_model_model, 1, tiny_model_model_len, stdout);
  fwrite(tiny_model_golden_output_0, sizeof tiny_model_golden_output_0[0], TINY_MODEL_GOLDEN_COUNT, stdout);
  return 0;
}
"""


@NEEDS_GCC
@pytest.mark.parametrize("source", ["tiny_model.c", "tiny_model.S"])
def test_compiled_it_is_the_model(subject: Subject, options: Options, tmp_path: Path, source: str) -> None:
    deliver(subject, "mcu", options, tmp_path / "out")
    (tmp_path / "check.c").write_text(CHECK)
    words = ["gcc", "-Wall", "-Wextra", "-Werror", "-Iout/include", "-Iout", "check.c", f"out/src/{source}"]
    subprocess.run([*words, "out/src/tiny_model_golden.c", "-o", "check"], cwd=tmp_path, check=True)
    printed = subprocess.run([str(tmp_path / "check")], capture_output=True, check=True).stdout
    assert printed[: len(subject.model)] == subject.model
    golden = subject.package.golden.outputs["scores"]
    assert printed[len(subject.model) :] == np.ascontiguousarray(golden).tobytes()


@pytest.fixture(scope="module")
def runner(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delivered main.cc as a program. tflite-micro's sources are not on the package index: declarations by its
    documented interface, and an interpreter that answers what the golden vectors say, stand in for them."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ here")
    folder = tmp_path_factory.mktemp("runner")
    deliver(subject, "mcu", Options(), folder / "out")
    shutil.copytree(Path(__file__).parent / "tflm_interface", folder / "tflm")
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Iout/include", "-Itflm"]
    for source in ("out/src/tiny_model.c", "out/src/tiny_model_golden.c"):
        subprocess.run(["gcc", "-c", "-Iout/include", source], cwd=folder, check=True)
    words = [
        "g++",
        *strict,
        "out/example/main.cc",
        "tflm/double.cc",
        "tiny_model.o",
        "tiny_model_golden.o",
        "-o",
        "run",
    ]
    subprocess.run(words, cwd=folder, check=True)
    return folder / "run"


def _told(runner: Path, behaviour: str) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(
        [str(runner)], capture_output=True, check=False, timeout=30, env={"BEHAVE": behaviour}
    )
    (line,) = ran.stdout.decode().splitlines()
    assert line.startswith("edgepack-runner ") and ran.stdout.endswith(b"\r\n")
    return ran.returncode, json.loads(line.removeprefix("edgepack-runner "))


def test_the_runner_tells_what_it_measured(runner: Path, subject: Subject) -> None:
    code, told = _told(runner, "")
    assert (code, told["status"], told["model_sha256"]) == (0, "ok", subject.sha256)
    assert (told["arena_bytes"], told["runs"], told["largest_difference"]) == (1504, 101, 0)
    assert told["vectors"] == len(subject.package.golden.inputs["serving_x"])
    times = [told[f"{name}_us"] for name in ("min", "p10", "p50", "p90", "max")]
    assert times == sorted(times) and 1000 <= times[0] < times[-1] <= 1006


@pytest.mark.parametrize(
    ("behaviour", "kind", "message"),
    [
        ("wrong", "golden", "an output is 5 steps from its golden vector"),
        ("small", "memory", "is the arena of [0-9]+ bytes too small"),
        ("timeless", "request", "no clock: see edgepack_clock_hz"),
    ],
)
def test_the_runner_tells_what_is_wrong(runner: Path, behaviour: str, kind: str, message: str) -> None:
    code, told = _told(runner, behaviour)
    assert (code, told["status"], told["kind"]) == (1, "failed", kind)
    assert re.search(message, told["message"])


def test_the_form_of_the_packages_device_is_delivered(subject: Subject) -> None:
    flash = {"codec": "lut", "ram_bytes": 40_000, "details": {}}
    manifest = {**subject.manifest, "device": {"name": "rp2040"}, "flash": flash}
    made = replace(
        subject, package=replace(subject.package, device_model=subject.model + bytes(16), manifest=manifest)
    )
    boards = {name: device.load(name) for name in ("rp2040", "esp32s3", "ethos-u55-128")}
    boards["decoding"] = boards["esp32s3"].model_copy(update={"decoders": ("lut",)})
    for board, other in (
        (None, True),
        ("rp2040", True),
        ("decoding", True),
        ("esp32s3", False),
        ("ethos-u55-128", False),
    ):
        tree = receiver.tree(made, Options(device=boards[board] if board else None))
        data = bytes(tree["tiny_model.tflite"])
        assert (data != subject.model) == other
        header = bytes(tree["include/tiny_model.h"]).decode()
        assert (
            f"#define TINY_MODEL_BYTES {len(data)}" in header and hashlib.sha256(data).hexdigest() in header
        )
        arena = re.search(r"ARENA_BYTES (\d+)", header)
        assert arena is not None and (int(arena[1]) > 40_000) == other


def test_the_header_states_the_contract(subject: Subject, options: Options) -> None:
    header = bytes(receiver.tree(subject, options)["include/tiny_model.h"]).decode()
    assert f"#define TINY_MODEL_BYTES {len(subject.model)}" in header
    assert subject.sha256 in header
    assert "#define TINY_MODEL_INPUT_0_SCALE 0.0625f" in header
    assert "#define TINY_MODEL_OUTPUT_0_ZERO_POINT (-128)" in header
    arena = re.search(r"ARENA_BYTES (\d+)", header)
    assert arena is not None
    assert int(arena[1]) % 16 == 0
    assert int(arena[1]) > 32  # two tensors of 16 bytes


def test_the_resolver_registers_what_is_used(subject: Subject, options: Options) -> None:
    resolver = bytes(receiver.tree(subject, options)["include/tiny_model_resolver.h"]).decode()
    assert "MicroMutableOpResolver<1>" in resolver
    assert "resolver.AddLogistic()" in resolver


def test_an_operator_without_a_kernel_is_named(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "KERNELS", frozenset({"ADD"}))
    with pytest.raises(errors.BadInputError, match="no kernel for LOGISTIC"):
        receiver.tree(subject, Options())


@pytest.mark.parametrize("address", [0, 0x10100000, 0x0800FFF8])
def test_intel_hex_reads_back(subject: Subject, address: int) -> None:
    read = intelhex.IntelHex(io.StringIO(images.intel_hex(subject.model, address).decode()))
    assert read.minaddr() == address
    assert bytes(read.tobinarray()) == subject.model


def test_uf2_reads_back(subject: Subject) -> None:
    data = images.uf2(subject.model, 0x10100000, 0xE48BFF56)
    assert len(data) % 512 == 0
    found = b""
    for number in range(len(data) // 512):
        block = data[512 * number : 512 * (number + 1)]
        first, second, flags, address, size, index, count, family = struct.unpack_from("<8I", block)
        assert (first, second) == (0x0A324655, 0x9E5D5157)
        assert struct.unpack_from("<I", block, 508)[0] == 0x0AB16F30
        assert (flags, size, index, count) == (0x2000, 256, number, len(data) // 512)
        assert (address, family) == (0x10100000 + 256 * number, 0xE48BFF56)
        found += block[32 : 32 + size]
    assert found[: len(subject.model)] == subject.model
    assert not any(found[len(subject.model) :])


def test_littlefs_reads_back(subject: Subject) -> None:
    littlefs = pytest.importorskip("littlefs")
    image = images.littlefs(subject.model, "m.tflite", 65_536)
    assert image == images.littlefs(subject.model, "m.tflite", 65_536)
    mounted = littlefs.LittleFS(block_size=4096, block_count=16, mount=False)
    mounted.context.buffer[:] = image
    mounted.mount()
    with mounted.open("m.tflite", "rb") as file:
        assert file.read() == subject.model
    with pytest.raises(errors.GateError, match="does not fit a LittleFS"):
        images.littlefs(bytes(70_000), "m.tflite", 65_536)


def test_mcuboot_image_verifies_and_counts(subject: Subject, tmp_path: Path) -> None:
    pytest.importorskip("imgtool")
    key = tmp_path / "key.pem"
    assert images.imgtool(["keygen", "--key", str(key), "--type", "ed25519"]).returncode == 0
    options = Options(slot_bytes=32_768, signing_key=str(key), security_counter=7)
    made = receiver.tree(subject, options)
    image = bytes(made["images/tiny_model.mcuboot.bin"])
    assert image == bytes(receiver.tree(subject, options)["images/tiny_model.mcuboot.bin"])
    assert image[images.MCUBOOT_HEADER_BYTES :][: len(subject.model)] == subject.model
    (tmp_path / "image").write_bytes(image)
    verified = images.imgtool(["verify", "--key", str(key), str(tmp_path / "image")])
    assert verified.returncode == 0, verified.stdout + verified.stderr
    (tmp_path / "image").write_bytes(image[:600] + bytes([image[600] ^ 1]) + image[601:])
    assert images.imgtool(["verify", "--key", str(key), str(tmp_path / "image")]).returncode != 0
    with pytest.raises(errors.GateError, match="does not fit its slot"):
        receiver.tree(subject, replace(options, slot_bytes=len(subject.model) + 100))


def test_esp_partition_is_a_line_of_whole_sectors(subject: Subject) -> None:
    board = device.load("esp32s3")
    made = receiver.tree(subject, Options(device=board, flash_address=0x310000, slot_bytes=0x20000))
    line = bytes(made["images/partitions.csv"]).decode().splitlines()[-1]
    assert [word.strip() for word in line.split(",")][:5] == [
        "tiny_model",
        "data",
        "0x40",
        "0x310000",
        "0x20000",
    ]
    assert made["images/tiny_model.bin"] == subject.model
    with pytest.raises(errors.BadInputError, match="sectors"):
        receiver.tree(subject, Options(device=board, flash_address=0x310001))


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        (Options(slot_bytes=100), errors.GateError, "do not fit the slot of 100"),
        (Options(signing_key="key.pem"), errors.BadInputError, "needs --slot-bytes"),
        (Options(flash_address=(1 << 32) - 8), errors.BadInputError, "beyond 32 bits"),
    ],
    ids=["slot", "key without slot", "address"],
)
def test_refused_before_anything_is_written(
    subject: Subject, tmp_path: Path, options: Options, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        deliver(subject, "mcu", options, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_board_that_is_too_small(subject: Subject) -> None:
    board = device.load("rp2040").model_copy(update={"budget_bytes": 64})
    with pytest.raises(errors.GateError, match="its budget for models is 64"):
        receiver.tree(subject, Options(device=board))


def test_twice_the_same_bytes(subject: Subject) -> None:
    options = Options(device=device.load("rp2040"), flash_address=0x10100000, slot_bytes=65_536)
    assert receiver.tree(subject, options) == receiver.tree(subject, options)


def test_through_the_command(package_file: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edgepack", "deliver", str(package_file), "--to", "mcu", "--json"]
    refused = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 77
    assert "--allow-unsigned" in refused.stderr
    made = subprocess.run(
        [*words, "--allow-unsigned"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["signed"] is False
    assert all((Path(report["folder"]) / name).is_file() for name in report["files"])
