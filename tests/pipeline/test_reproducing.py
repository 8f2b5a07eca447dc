"""``build --check``: the rebuild is compared file by file, and what differs is told member by member."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepack import errors
from edgepack.bundle import archive
from edgepack.pipeline import reproducing
from edgepack.pipeline.build import Options
from edgepack.records import canonical_json
from tests.attacks.signed import package_bytes
from tests.cli.conftest import ROOT

PACKAGE, MODEL = "digits-1.0.0.edgepack", "digits-1.0.0.tflite"
Check = Callable[[], "dict[str, list[str]]"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder as the stand-in for a build leaves it."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / PACKAGE).write_bytes(package_bytes())
    (folder / MODEL).write_bytes(b"model")
    return folder


@pytest.fixture
def check(out: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Compares `out` with what a stand-in for the build makes anew."""
    used: list[Options] = []

    def build(recipe: Any, options: Options, reporter: Any) -> Any:
        used.append(options)
        options.out.mkdir()
        (options.out / PACKAGE).write_bytes(package_bytes())
        (options.out / MODEL).write_bytes(b"model")
        made = SimpleNamespace(package=options.out / PACKAGE, tflite=options.out / MODEL, reasons=())
        return SimpleNamespace(packages=[made])

    monkeypatch.setattr(reproducing, "build", build)

    def run() -> dict[str, list[str]]:
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        found = reproducing.reproduced(SimpleNamespace(), Options(out=out), SimpleNamespace())  # type: ignore[arg-type]
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        assert used[-1].cache is not None and not used[-1].cache.parent.exists() and used[-1].out != out
        return {each.name: list(each.differences) for each in found}

    return run


def test_the_same_bytes(check: Check) -> None:
    assert check() == {PACKAGE: [], MODEL: []}


def test_a_missing_file(out: Path, check: Check) -> None:
    (out / MODEL).unlink()
    assert check()[MODEL] == [f"is not in {out}"]


def test_another_model(out: Path, check: Check) -> None:
    (out / MODEL).write_bytes(b"mOdEl")
    (out / PACKAGE).write_bytes(package_bytes(model=b"model" * 298 + b"mOdEl"))
    found = check()
    assert found[MODEL] == ["2 of 5 bytes differ, the first at 1"]
    assert found[PACKAGE][0].startswith("manifest.json: golden.model_sha256: ")
    assert found[PACKAGE][-1] == "model.tflite: 2 of 1,495 bytes differ, the first at 1,491"


def test_another_size(out: Path, check: Check) -> None:
    (out / MODEL).write_bytes(b"")
    assert check()[MODEL] == ["0 bytes, rebuilt 5"]


def test_another_manifest(out: Path, check: Check) -> None:
    members = dict(archive.read(package_bytes(), "good"))
    manifest = {**json.loads(members["manifest.json"]), "version": "0.9.0", "note": list(range(50))}
    text = canonical_json(manifest)
    (out / PACKAGE).write_bytes(archive.write({**members, "manifest.json": text}))
    note, version = check()[PACKAGE]
    assert note.startswith("manifest.json: note: [0, 1, 2") and note.endswith("…, rebuilt null")
    assert version == 'manifest.json: version: "0.9.0", rebuilt "1.0.0"'


def test_many_differences_are_counted(out: Path, check: Check) -> None:
    members = dict(archive.read(package_bytes(), "good"))
    manifest = {**json.loads(members["manifest.json"]), **{f"note{number}": number for number in range(9)}}
    (out / PACKAGE).write_bytes(archive.write({**members, "manifest.json": canonical_json(manifest)}))
    assert check()[PACKAGE][-1] == "manifest.json: and 4 more" and len(check()[PACKAGE]) == 6


def test_a_damaged_package(out: Path, check: Check) -> None:
    (out / PACKAGE).write_bytes(package_bytes() + b"\0")
    assert "1 bytes follow the end" in check()[PACKAGE][0]


def test_a_rebuild_that_misses_its_budget(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = SimpleNamespace(package=None, tflite=None, reasons=("too large",))
    monkeypatch.setattr(reproducing, "build", lambda *_: SimpleNamespace(packages=[missed]))
    with pytest.raises(errors.GateError, match="too large"):
        reproducing.reproduced(SimpleNamespace(), Options(out=out), SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_installed_command(tmp_path: Path) -> None:
    import os
    import subprocess

    from tests.cli.conftest import COMMAND

    shutil.copytree(ROOT / "recipes" / "digits", tmp_path / "digits")
    shutil.copy(ROOT / "recipes" / "digits_post_training.toml", tmp_path / "demo.toml")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "build", "demo.toml", "--no-bench", "--quiet", "--out", "out", *options],
            cwd=tmp_path,
            env={**os.environ, "EDGEPACK_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    good = run("--check")
    assert good.returncode == 0, good.stderr
    assert good.stdout.count("the same bytes") == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (model,) = (tmp_path / "out").glob("*.tflite")
    changed = bytearray(model.read_bytes())
    changed[-1] ^= 1
    model.write_bytes(bytes(changed))
    bad = run("--check", "--json")
    assert bad.returncode == 10, bad.stderr
    told = json.loads(bad.stdout)
    assert told["reproduced"] is False
    assert {each["file"].rpartition(".")[2]: each["same"] for each in told["files"]} == {
        "edgepack": True,
        "tflite": False,
    }
