"""Disks that are full, read-only or elsewhere: exit 74, what is missing, nothing partial."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, ROOT

pytestmark = pytest.mark.tensorflow
PACKAGE, MODEL = "digits-post-training-1.0.0.edgepack", "digits-post-training-1.0.0.tflite"


def build(recipe: Path, out: Path, cache: Path | str, limit: int | None = None, **environment: str) -> Any:
    """A build without the benchmark; `limit` is the most bytes that a file may have."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [COMMAND, "build", recipe, "--out", out, "--no-bench"],
        env={**os.environ, "EDGEPACK_CACHE": str(cache), "COLUMNS": "200", **environment},
        preexec_fn=lower,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    shutil.copytree(ROOT / "recipes" / "digits", folder / "digits")
    return Path(shutil.copy(ROOT / "recipes" / "digits_post_training.toml", folder / "demo.toml"))


@pytest.fixture(scope="session")
def filled(recipe: Path, cache: Path) -> Path:
    """A store that has everything."""
    answer = build(recipe, recipe.parent / "out", cache)
    assert answer.returncode == 0, answer.stderr
    return cache


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts filesystems of a given size."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=False)


def refused(answer: Any, *words: str) -> None:
    assert answer.returncode == 74, answer.stderr
    assert "Traceback" not in answer.stderr
    for word in words:
        assert word in answer.stderr, answer.stderr


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_an_output_that_cannot_hold_the_package(recipe: Path, filled: Path, tmp_path: Path) -> None:
    answer = build(recipe, tmp_path / "out", filled, limit=60_000)
    refused(answer, str(tmp_path / "out"), "bytes are needed", "finished steps are kept")
    assert names(tmp_path / "out") <= {"build.json"}


def test_a_full_output_disk(recipe: Path, filled: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(80_000)
    answer = build(recipe, disk, filled)
    refused(answer, "No space left on device", "bytes are needed")
    assert names(disk) <= {"build.json"}


@pytest.mark.parametrize("limit", [2_000, 300_000])
def test_a_cache_that_cannot_hold_a_result(limit: int, recipe: Path, tmp_path: Path) -> None:
    answer = build(recipe, tmp_path / "out", tmp_path / "cache", limit=limit)
    refused(answer, str(tmp_path / "cache"))
    assert not list((tmp_path / "cache" / "scratch").iterdir())
    assert names(tmp_path / "out") <= {"build.json"}


def test_a_full_cache_disk_and_room_again(
    recipe: Path, filled: Path, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(1_200_000)
    refused(build(recipe, tmp_path / "out", disk), "No space left on device", str(disk))
    assert not list((disk / "scratch").iterdir())
    assert names(tmp_path / "out") <= {"build.json"}
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    answer = build(recipe, tmp_path / "out", disk)  # the output now is on another disk than the store
    assert answer.returncode == 0 and "from the store" in answer.stderr, answer.stderr
    for name in (PACKAGE, MODEL):
        assert (tmp_path / "out" / name).read_bytes() == (recipe.parent / "out" / name).read_bytes()


def test_a_read_only_cache(recipe: Path, tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(1_000_000)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    refused(build(recipe, tmp_path / "out", disk), str(disk), "choose a folder that you may write to")


def test_a_home_that_cannot_be_written(recipe: Path, tmp_path: Path) -> None:
    answer = build(recipe, tmp_path / "out", "", HOME="/proc/self", XDG_CACHE_HOME="")
    refused(answer, "/proc/self/.cache", "EDGEPACK_CACHE")


def test_temporary_files_on_another_disk(
    recipe: Path, filled: Path, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(1_000_000)
    answer = build(recipe, disk / "out", filled, TMPDIR=str(disk))
    assert answer.returncode == 0, answer.stderr
    assert names(disk) == {"out"}
    assert names(disk / "out") == {PACKAGE, MODEL, "build.json", "evaluation.npz"}
