"""The ladder of remedies, walked with a converter that fails as told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgepack import errors
from edgepack.stages.quantize import Quantize
from edgepack.stages.search import Judgement
from tests.tflite.handmade_tflite import dense

SOUND = dense(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
CRASH = errors.ChildCrashError(
    "the TensorFlow process was ended by SIGSEGV during 'convert'; its last words …"
)
FELL = Judgement(complaint="top1 fell", drop=0.5)
REFUSAL = errors.ConversionError("the op GELU has no int8 kernel")


class ScriptedBackend:
    """Answers each convert call by the first failure whose test matches the arguments, else with a sound
    file."""

    def __init__(self, *failures: tuple[Callable[[dict[str, Any]], bool], errors.EdgepackError]) -> None:
        self.failures = failures
        self.calls: list[dict[str, Any]] = []

    def call(self, operation: str, *, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        assert operation == "convert" and timeout_s > 0
        self.calls.append(arguments)
        for test, error in self.failures:
            if test(arguments):
                raise error
        Path(arguments["target"]).write_bytes(SOUND)
        return {"ids": [], "notes": [], "clipped": {}}


def _integer(arguments: dict[str, Any]) -> bool:
    return arguments["scheme"] == "int8"


def _apply(settings: Quantize, backend: ScriptedBackend, folder: Path, **more: Any) -> Any:
    return settings.apply(backend, folder / "m.h5", folder / "m.tflite", None, **more)  # type: ignore[arg-type]


def test_nothing_extra_runs_where_nothing_is_wrong(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    result = _apply(Quantize(slim=False), backend, tmp_path)
    assert len(backend.calls) == 1
    assert [attempt.outcome for attempt in result.attempts] == ["converted"]
    assert result.accepted and result.notes == ()
    assert result.artifact.path == tmp_path / "m.tflite"


def test_the_file_is_slimmed_where_that_changes_no_answer(tmp_path: Path) -> None:
    result = _apply(Quantize(), ScriptedBackend(), tmp_path)
    (note,) = result.notes
    slim = (tmp_path / "m.tflite").read_bytes()
    assert len(slim) < len(SOUND) and result.artifact.sha256 == hashlib.sha256(slim).hexdigest()
    assert (note.stage, note.action, note.reason) == ("slim", "acted", "")
    assert note.found == {"file_bytes_before": len(SOUND), "file_bytes_after": len(slim)}


def test_the_original_is_kept_where_slimming_fails_its_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepack.exact.rewriting.complaint", lambda *arguments, **more: "output 'y' differs")
    result = _apply(Quantize(), ScriptedBackend(), tmp_path)
    assert (tmp_path / "m.tflite").read_bytes() == SOUND
    assert [(note.action, note.reason) for note in result.notes] == [("left alone", "output 'y' differs")]


def test_a_crash_skips_what_would_calibrate_again(tmp_path: Path) -> None:
    backend = ScriptedBackend((_integer, CRASH))
    result = _apply(Quantize(allow_float=True), backend, tmp_path)
    names = [attempt.remedy for attempt in result.attempts]
    assert names == ["plain", "unrolled", "float element-wise", "dynamic range"]
    assert result.details["remedy"] == "dynamic range"
    reasons = " ".join(note.reason for note in result.notes)
    assert "SIGSEGV" in reasons and "activations are float" in reasons


def test_a_refusal_tries_every_rung(tmp_path: Path) -> None:
    backend = ScriptedBackend((lambda arguments: not arguments.get("float_ops"), REFUSAL))
    result = _apply(Quantize(), backend, tmp_path)
    assert result.details["remedy"] == "float where needed"


def test_what_no_arithmetic_has_is_said_at_once(tmp_path: Path) -> None:
    backend = ScriptedBackend(
        (lambda arguments: True, errors.ConversionError("TFLite has no built-in op for X"))
    )
    with pytest.raises(errors.ConversionError, match="no built-in op for X"):
        _apply(Quantize(allow_float=True), backend, tmp_path)
    assert len(backend.calls) == 1


def test_no_remedy_left_lists_what_was_tried(tmp_path: Path) -> None:
    backend = ScriptedBackend((lambda arguments: True, CRASH))
    with pytest.raises(errors.ChildCrashError, match=r"tried:\n  plain: .*SIGSEGV(.|\n)*\n  float: "):
        _apply(Quantize(), backend, tmp_path)


def test_a_free_batch_gives_way(tmp_path: Path) -> None:
    backend = ScriptedBackend((lambda arguments: arguments["batch"] is None, REFUSAL))
    result = _apply(Quantize(batch="dynamic"), backend, tmp_path)
    assert [call["batch"] for call in backend.calls] == [None, 1]
    assert "the free batch dimension became 1" in result.notes[-1].reason


def test_a_useless_model_climbs_to_the_accuracy_remedies(tmp_path: Path) -> None:
    seen: list[str] = []

    def accept(artifact: Any) -> Judgement:
        seen.append(artifact.path.name)
        return FELL if len(seen) < 3 else Judgement()

    backend = ScriptedBackend()
    result = _apply(Quantize(allow_float=True, slim=False), backend, tmp_path, accept=accept)
    names = [attempt.remedy for attempt in result.attempts]
    assert names == ["plain", "unrolled", "float element-wise"]
    assert result.accepted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tflite"]


@pytest.mark.parametrize("allow", [None, False])
def test_without_permission_no_float_remedy_repairs_accuracy(tmp_path: Path, allow: bool | None) -> None:
    settings = Quantize(
        allow_float=allow is False, slim=False
    )  # allowed by the recipe, forbidden by the device
    backend = ScriptedBackend()
    result = _apply(settings, backend, tmp_path, allow_float=allow, accept=lambda artifact: FELL)
    assert [attempt.remedy for attempt in result.attempts] == ["plain", "unrolled"]
    assert not result.accepted
    assert result.details["remedy"] == "plain"
    assert (tmp_path / "m.tflite").read_bytes() == SOUND


def test_bad_model_files_are_not_tried_again(tmp_path: Path) -> None:
    backend = ScriptedBackend((lambda arguments: True, errors.ModelError("m.h5: truncated")))
    with pytest.raises(errors.ModelError, match="truncated"):
        _apply(Quantize(), backend, tmp_path)
    assert len(backend.calls) == 1


def test_settings_are_checked() -> None:
    assert Quantize().needs_calibration and not Quantize(scheme="dynamic").needs_calibration
    with pytest.raises(ValidationError, match="scheme"):
        Quantize(scheme="int3")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="batch"):
        Quantize(batch=0)
