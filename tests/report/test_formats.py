"""The same content for scripts, for pull requests, for other programs."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgepack import cli, errors, tables
from edgepack.recipe import Recipe
from edgepack.report.contents import Report
from edgepack.report.node_data import node_data
from edgepack.report.page import escaped
from edgepack.report.plain import as_json, as_markdown
from edgepack.report.subject import opened
from edgepack.report.tracking import log_build, require_mlflow
from tests.report.run_folder import HOSTILE, RECIPE, build_result


def test_json_has_everything_but_drawings(report: Report) -> None:
    told = json.loads(as_json(report))
    assert told["schema"] == "edgepack.report/1" and told["status"] == "passed"
    gauges = {gauge["key"]: gauge for gauge in told["devices"][0]["gauges"]}
    assert gauges["latency_ms"]["value"] == 0.5 and gauges["latency_ms"]["holds"] is False
    layers = next(section for section in told["sections"] if section["id"] == "layers")
    assert layers["blocks"][0]["rows"][0]["cells"][0]["text"] == HOSTILE
    assert "description" not in json.dumps(told)


def test_markdown_mentions_and_links_nobody(report: Report) -> None:
    text = as_markdown(report)
    assert text.startswith("### ✅ owls 1.0.0: passed") and "❌ at most 0.1 ms" in text
    assert "<script" not in text and "@everyone" not in text and "](javascript" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(widths) == 1, table


def test_escaped_text_is_one_line() -> None:
    assert "\n" not in escaped("a\n# b") and escaped("a\n# b") == "a \\# b"


def test_node_data_name_ops_by_number(run_folder: Path) -> None:
    told = json.loads(node_data(opened(run_folder)))
    assert {"bytes", "multiply-adds", "noise to signal"} <= set(told)
    for data in told.values():
        assert all(number.isdigit() and set(each) == {"value"} for number, each in data["results"].items())
        assert [stop["stop"] for stop in data["gradient"]] == [0, 1]
    macs = told["multiply-adds"]["results"]
    assert macs["0"]["value"] == 8 * 8 * 4 * 9


def test_the_command_writes_beside_the_run(run_folder: Path, tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "page.html"
    assert (
        cli.run(
            ["report", str(run_folder), "--against", str(run_folder / "owls.edgepack"), "--out", str(target)]
        )
        == 0
    )
    assert "unchanged since owls 1.0.0" in target.read_text()
    assert cli.run(["report", str(run_folder), "--device", "rpi4"]) == 65
    assert "no particular one" in capsys.readouterr().err


class FakeMlflow(types.ModuleType):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.told: dict[str, Any] = {"artifacts": []}

    @contextmanager
    def start_run(self, run_name: str) -> Iterator[Any]:
        self.told["name"] = run_name
        yield types.SimpleNamespace(info=types.SimpleNamespace(run_id="42"))

    def set_tags(self, tags: Any) -> None:
        self.told["tags"] = tags

    def log_params(self, params: Any) -> None:
        self.told["params"] = params

    def log_metrics(self, metrics: Any) -> None:
        self.told["metrics"] = metrics

    def log_artifact(self, path: str) -> None:
        self.told["artifacts"].append(Path(path).name)


def test_mlflow_gets_numbers_and_packages_but_no_samples(tmp_path: Path) -> None:
    fake = FakeMlflow()
    result = build_result(tmp_path / "run")
    recipe = Recipe.model_validate(tables.parse(RECIPE, "r.toml"))
    assert log_build(fake, result, recipe, tmp_path / "run") == "42"
    assert (
        fake.told["params"]["quantize.scheme"] == "float16"
        and fake.told["params"]["data.evaluation.inputs"] == "x"
    )
    assert fake.told["metrics"]["latency_ms"] == 0.5 and "drop" in fake.told["metrics"]
    assert set(fake.told["artifacts"]) == {"owls.edgepack", "int8.tflite", "build.json"}
    assert fake.told["tags"] == {"edgepack.status": "passed"}


def test_without_mlflow_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(errors.MissingDependencyError, match="mlflow-skinny"):
        require_mlflow()


def test_a_viewer_is_started_with_the_model(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    program = tmp_path / "netron"
    program.write_text(f'#!/bin/sh\nhead -c 8 "$1" | tail -c 4 > {tmp_path}/seen\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert cli.run(["view", str(run_folder / "owls.edgepack")]) == 0
    assert (tmp_path / "seen").read_text() == "TFL3"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert cli.run(["view", str(run_folder / "owls.edgepack")]) == 69
    assert "pip install netron" in capsys.readouterr().err
