"""Folders and files that anyone may have written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors
from edgepack.report.contents import reported
from edgepack.report.evidence import read_evidence
from edgepack.report.page import MOST_BYTES, rendered
from edgepack.report.subject import opened
from edgepack.runtime.arrays import save_npz


@pytest.fixture
def folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled, moved away from where build.json says that its files lie."""
    return Path(shutil.copytree(run_folder, tmp_path / "moved"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"schema": "edgepack.build/9", "status": "passed"}', "reads 'edgepack.build/1'"),
        ('{"schema": "edgepack.build/1", "status": 3}', "status"),
        (
            '{"schema": "edgepack.build/1", "status": "passed", "packages": [{"sizes": 1}]}',
            "packages.0.sizes",
        ),
    ],
)
def test_a_damaged_build_json_is_named(folder: Path, text: str, said: str) -> None:
    (folder / "build.json").write_text(text)
    with pytest.raises(errors.BadInputError, match=r"build\.json") as caught:
        opened(folder)
    assert said in str(caught.value)


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInputError, match=r"has no build\.json"):
        opened(tmp_path)
    with pytest.raises(errors.BadInputError, match="no such file"):
        opened(tmp_path / "gone")
    (tmp_path / "x.edgepack").write_bytes(b"PK")
    with pytest.raises(errors.PackageError):
        opened(tmp_path / "x.edgepack")


def test_damaged_evidence_is_named(folder: Path) -> None:
    path = folder / "evaluation.npz"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(errors.BadInputError, match=r"evaluation\.npz"):
            read_evidence(path)


def test_pickled_and_unfitting_evidence_is_refused(folder: Path) -> None:
    path = folder / "evaluation.npz"
    with np.load(path) as found:
        arrays = dict(found)
    save_npz(path, {**arrays, "labels": arrays["labels"][:-1]})
    with pytest.raises(errors.BadInputError, match="do not fit"):
        read_evidence(path)
    save_npz(path, {**arrays, "rows": arrays["rows"] + 10_000})
    with pytest.raises(errors.BadInputError, match="do not fit"):
        read_evidence(path)
    np.savez(path, **{**arrays, "labels": np.array([{}], object)}, allow_pickle=True)
    with pytest.raises(errors.BadInputError, match=r"evaluation\.npz"):
        read_evidence(path)


def test_a_moved_folder_without_evidence_reads_its_package(folder: Path) -> None:
    (folder / "evaluation.npz").unlink()
    sections = {section.id for section in reported(opened(folder)).sections}
    assert {"layers", "bytes", "latency"} <= sections and "answers" not in sections


def test_a_search_shows_its_trials(folder: Path) -> None:
    trial = {"state": "complete", "params": {"stage.1.sparsity": 0.5}, "seconds": 1.0}
    told = {
        "schema": "edgepack.tune/1",
        "name": "owls",
        "status": "failed",
        "reasons": ["no trial keeps the limits"],
        "objectives": [{"name": "drop", "unit": ""}, {"name": "delivered_bytes", "unit": "B", "limit": 900}],
        "trials": [
            {**trial, "number": 0, "values": [0.1, 1000]},
            {**trial, "number": 1, "values": [0.0, 2000]},
            {**trial, "number": 2, "values": None, "state": "failed", "error": "boom"},
        ],
        "front": [0, 1],
        "chosen": 1,
    }
    (folder / "tune.json").write_text(json.dumps(told))
    (folder / "build.json").unlink()
    report = reported(opened(folder))
    assert report.reasons == ("no trial keeps the limits",) and not report.passed
    (section,) = report.sections
    rows = section.blocks[1].rows  # type: ignore[union-attr]
    assert [row.strong for row in rows] == [False, True, False]
    assert any("boom" in cell.text for cell in rows[2].cells)
    assert "1 of them failed" in section.lead


def test_a_page_stays_small_whatever_the_run_holds(folder: Path) -> None:
    (folder / "evaluation.npz").unlink()
    told = json.loads((folder / "build.json").read_text())
    line = {"stage": "prune", "layer": "dense", "action": "left alone", "reason": "x" * 100}
    promise = {
        "layer": "dense",
        "kind": "sparsity",
        "wanted": 0.5,
        "found": 0.4,
        "holds": False,
        "reason": "y" * 100,
    }
    told["packages"][0]["ledger"] += [
        {**line, "reason": f"{number} {line['reason']}"} for number in range(5_000)
    ]
    told["packages"][0]["invariants"] = [promise] * 5_000
    (folder / "build.json").write_text(json.dumps(told))
    page = rendered("report.html.jinja", report=reported(opened(folder)))
    assert len(page.encode()) < MOST_BYTES
    assert "the first 500 of 5,000" in page and "and 4,5" in page
