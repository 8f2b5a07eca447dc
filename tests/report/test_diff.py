"""Two releases: what regressed, in every format and as an exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack import cli, errors
from edgepack.report.regressions import allowances

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed(run_folder: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the run with its build.json changed."""

    def make(change: Change) -> Path:
        folder = Path(shutil.copytree(run_folder, tmp_path / "changed"))
        told = json.loads((folder / "build.json").read_text())
        change(told["packages"][0])
        (folder / "build.json").write_text(json.dumps(told))
        return folder

    return make


def diffed(
    old: Path, new: Path, *options: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    code = cli.run(["diff", str(old), str(new), "--format", "json", *options])
    return code, json.loads(capsys.readouterr().out)


def larger(item: dict[str, Any]) -> None:
    item["sizes"]["delivered_bytes"] = int(item["sizes"]["delivered_bytes"] * 1.02)


def slower(item: dict[str, Any]) -> None:
    item["latency_ms"]["p50"] *= 1.3


def worse(item: dict[str, Any]) -> None:
    item["metric"]["tflite"] -= 0.01


@pytest.mark.parametrize(
    ("change", "aspect", "allowance"),
    [(larger, "bytes", "3%"), (slower, "latency", "50%"), (worse, "drop", "0.02")],
)
def test_what_got_worse_ends_with_10(
    changed: Callable[[Change], Path],
    run_folder: Path,
    change: Change,
    aspect: str,
    allowance: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = changed(change)
    code, told = diffed(run_folder, new, "--fail-on", "drop,bytes,latency", capsys=capsys)
    assert code == 10 and told["schema"] == "edgepack.diff/1" and told["status"] == "failed"
    assert [item["aspect"] for item in told["changes"] if item["regressed"]] == [aspect]
    code, told = diffed(run_folder, new, "--fail-on", f"{aspect}={allowance}", capsys=capsys)
    assert code == 0 and told["status"] == "passed"
    code, _ = diffed(new, run_folder, "--fail-on", "drop,bytes,latency", capsys=capsys)
    assert code == 0, "getting better is no regression"


def test_nothing_watched_is_only_told(
    run_folder: Path, changed: Callable[[Change], Path], capsys: Any
) -> None:
    code, told = diffed(run_folder, changed(worse), capsys=capsys)
    assert code == 0 and told["changes"][0]["worse"] == pytest.approx(0.01)


def test_what_cannot_be_seen_does_not_pass(run_folder: Path, capsys: Any) -> None:
    package = run_folder / "owls.edgepack"
    code, told = diffed(run_folder, package, "--fail-on", "latency", capsys=capsys)
    assert code == 10 and "--measure" in told["reasons"][0]


def test_other_circumstances_are_not_compared(
    run_folder: Path, changed: Callable[[Change], Path], capsys: Any
) -> None:
    def elsewhere(item: dict[str, Any]) -> None:
        item["benchmark"]["artifact"]["cpu"] = "another"

    code, told = diffed(run_folder, changed(elsewhere), "--fail-on", "latency", capsys=capsys)
    assert code == 10 and "other circumstances (cpu)" in told["reasons"][0]


def test_packages_are_compared_layer_by_layer(run_folder: Path, capsys: Any) -> None:
    package = str(run_folder / "owls.edgepack")
    assert cli.run(["diff", package, package]) == 0
    said = capsys.readouterr().out
    assert "compared" in said and ".tflite: the same bytes" in said
    assert cli.run(["diff", str(run_folder), package, "--format", "md"]) == 0
    said = capsys.readouterr().out
    assert "| **" in said and "<script" not in said and "@everyone" not in said


def test_a_page_of_a_diff(run_folder: Path, tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "d.html"
    assert cli.run(["diff", str(run_folder), str(run_folder / "owls.edgepack"), "--out", str(target)]) == 0
    assert "Content-Security-Policy" in target.read_text() and "<script>alert" not in target.read_text()


def test_devices_must_meet(run_folder: Path, changed: Callable[[Change], Path], capsys: Any) -> None:
    def renamed(item: dict[str, Any]) -> None:
        item["device"] = "rpi4"

    new = changed(renamed)
    told = json.loads((new / "build.json").read_text())
    told["packages"].append({**told["packages"][0], "device": "rpi5"})
    (new / "build.json").write_text(json.dumps(told))
    assert cli.run(["diff", str(run_folder), str(new)]) == 65
    assert "none in common" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["size", "drop=x", "drop=-1", "bytes=1%%", "drop;bytes"])
def test_a_wrong_fail_on_is_said(text: str) -> None:
    with pytest.raises(errors.BadInputError, match="--fail-on"):
        allowances(text)
