"""What goes in comes out, the same bytes each time."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgepack import bundle, errors
from edgepack.records import file_sha256
from tests import handmade
from tests.bundle.conftest import INPUTS, MANIFEST, RECIPE


def test_round_trip(packed: bundle.Package, model: Path) -> None:
    found = bundle.read(packed.path)
    assert found.manifest == packed.manifest
    assert found.manifest["labels"] == ["größer", "kleiner"]
    assert found.model == model.read_bytes()
    assert found.model_sha256 == file_sha256(model)
    assert found.recipe_text == RECIPE
    assert found.sha256 == file_sha256(packed.path)
    for name in ("a", "b"):
        np.testing.assert_array_equal(found.golden.inputs[name], packed.golden.inputs[name])
    np.testing.assert_array_equal(found.golden.outputs["difference"], packed.golden.outputs["difference"])
    assert found.golden.checks == packed.golden.checks


def test_any_unzip_reads_it(packed: bundle.Package) -> None:
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.testzip() is None
        members = archive.infolist()
    assert [member.filename for member in members] == [
        "manifest.json",
        "model.tflite",
        "golden.bin",
        "recipe.toml",
    ]
    for member in members:
        assert member.compress_type == zipfile.ZIP_STORED
        assert member.date_time == (1980, 1, 1, 0, 0, 0)
        assert member.external_attr >> 16 == 0o100644
        assert member.extra == b""


def test_same_bytes_in_another_process_and_folder(
    packed: bundle.Package, model: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from edgepack import bundle\n"
        "from tests.bundle.conftest import INPUTS, MANIFEST, RECIPE\n"
        "model, target = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "golden = bundle.make_golden(model, INPUTS)\n"
        "shuffled = dict(reversed(list(MANIFEST.items())))\n"
        "bundle.pack(target, model=model, manifest=shuffled, golden=golden, recipe_text=RECIPE)\n"
    )
    target = tmp_path / "again.edgepack"
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", code, str(model), str(target)], check=True, cwd=root, env=environment
    )
    assert target.read_bytes() == packed.path.read_bytes()


def test_a_package_verifies_here(packed: bundle.Package) -> None:
    for kernels in ("reference", "default"):
        report = bundle.verify_golden(packed, kernels=kernels)
        assert report.holds
        assert [output.name for output in report.outputs] == ["difference"]


def test_outputs_of_another_model_do_not_verify(packed: bundle.Package, tmp_path: Path) -> None:
    """The same file with other expectations: as if the kernels here were broken."""
    wrong = {"difference": packed.golden.outputs["difference"] + 1}
    broken = dataclasses.replace(packed, golden=dataclasses.replace(packed.golden, outputs=wrong))
    report = bundle.verify_golden(broken)
    assert not report.holds
    assert report.outputs[0].difference == pytest.approx(1.0)


def test_golden_vectors_of_another_file_are_refused(golden: bundle.Golden, tmp_path: Path) -> None:
    other = handmade.difference(tmp_path / "other.tflite", first="b", second="a")
    with pytest.raises(errors.PackageError, match="made with another file"):
        bundle.pack(
            tmp_path / "p.edgepack", model=other, manifest=MANIFEST, golden=golden, recipe_text=RECIPE
        )


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"name": "x"},
        {"name": 1, "version": "1"},
        {**MANIFEST, "members": {}},
        {**MANIFEST, "format": "x"},
    ],
)
def test_manifests_that_cannot_be(model: Path, golden: bundle.Golden, tmp_path: Path, manifest: dict) -> None:
    with pytest.raises(errors.PackageError, match="a manifest has"):
        bundle.pack(tmp_path / "p.edgepack", model=model, manifest=manifest, golden=golden, recipe_text="")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_json_does_not_have(model: Path, golden: bundle.Golden, tmp_path: Path) -> None:
    with pytest.raises(errors.BadInputError, match="canonical JSON"):
        bundle.pack(
            tmp_path / "p.edgepack",
            model=model,
            manifest={**MANIFEST, "drop": float("nan")},
            golden=golden,
            recipe_text="",
        )


def test_unwritable_target(model: Path, golden: bundle.Golden, tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="No such file"):
        bundle.pack(
            tmp_path / "no" / "p.edgepack", model=model, manifest=MANIFEST, golden=golden, recipe_text=RECIPE
        )


def test_the_model_as_a_file(packed: bundle.Package, model: Path) -> None:
    with bundle.extracted_model(packed) as path:
        assert path.read_bytes() == model.read_bytes()
    assert not path.exists()


def test_inputs_are_those_of_the_conftest(golden: bundle.Golden) -> None:
    assert set(golden.inputs) == {spec.name for spec in INPUTS}
    assert all(array.shape == (16, 3) for array in golden.inputs.values())


def test_what_a_device_stores_travels_along(model: Path, golden: bundle.Golden, tmp_path: Path) -> None:
    target = tmp_path / "p.edgepack"
    made = bundle.pack(
        target, model=model, manifest=MANIFEST, golden=golden, recipe_text=RECIPE, device_model=b"by tables"
    )
    found = bundle.read(target)
    assert found.device_model == made.device_model == b"by tables"
    assert found.manifest["members"]["device.tflite"]["bytes"] == 9
    data = bytearray(target.read_bytes())
    data[data.index(b"by tables")] ^= 1
    target.write_bytes(bytes(data))
    with pytest.raises(errors.PackageError, match=r"device\.tflite is damaged"):
        bundle.read(target)
