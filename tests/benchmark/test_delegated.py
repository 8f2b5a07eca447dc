"""External delegates: used and rechecked where they are sound, refused clearly where they are not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgepack import benchmark, errors
from edgepack.benchmark.delegated import recheck

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to make a delegate with")
    library = tmp_path_factory.mktemp("delegate") / "delegate.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "delegate.c")]
    subprocess.run(command, check=True, timeout=60)
    return str(library)


@pytest.fixture(scope="module")
def model(shared_models: Path) -> Path:
    return shared_models / "kws_dscnn" / "kws_ref_model.tflite"


def test_a_sound_one_is_measured_and_rechecked(delegate: str, model: Path) -> None:
    found = benchmark.measure(model, seconds=0.1, delegate=delegate)
    assert found.circumstances.delegate == delegate and found.latency_ms.p50 > 0
    (check,) = recheck(model, delegate=delegate, delegate_options={"threads": "1"})
    assert check.holds and check.argmax_agreement is not None and check.argmax_agreement > 0.9


def test_one_that_refuses_is_told_in_its_own_words(delegate: str, model: Path) -> None:
    with pytest.raises(errors.DeviceError, match="cannot be used"):
        recheck(model, delegate=delegate, delegate_options={"refuse": "no such chip"})


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        ("/nowhere/delegate.so", "No such file"),
        ("broken.so", "file too short|invalid ELF"),
        ("libc.so.6", "undefined symbol"),
    ],
)
def test_what_is_no_delegate(library: str, reason: str, model: Path, tmp_path: Path) -> None:
    if library == "broken.so":
        (tmp_path / library).write_bytes(b"not a library")
        library = str(tmp_path / library)
    with pytest.raises(errors.DeviceError, match=f"cannot be used.*({reason})"):
        benchmark.measure(model, seconds=0.1, delegate=library)
