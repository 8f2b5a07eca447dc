"""A rewritten file is believed when it has been run; else the original stays, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import exact, runtime, tflite
from edgepack.exact.proof import complaint
from edgepack.tflite.precheck import parse
from edgepack.tflite.schema import unpacked
from edgepack.tflite.slimming import slim
from edgepack.tflite.writing import written
from tests.tflite.handmade_network import Network


def network(**more: Any) -> bytes:
    net = Network((1, 6, 6, 3), **more)
    x = net.conv(net.input, 8, dead=(1, 2), bias=-0.8)
    return net.to_bytes(net.dense(net.mean(net.conv(x, 4)), 3))


def test_slimmed_tells_bytes_by_what_they_serve() -> None:
    data = network()
    found = exact.slimmed(data)
    assert found.changed and found.data == slim(data) and found.notes == ()
    assert sum(found.before.values()) == len(data) and sum(found.after.values()) == len(found.data)
    assert found.after["weights"] == found.before["weights"]
    assert found.after["names"] < found.before["names"]


@pytest.mark.parametrize("rewrite", [exact.slimmed, exact.shrunk])
def test_a_failed_proof_keeps_the_original(rewrite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepack.exact.rewriting.complaint", lambda *arguments, **more: "output 'y' differs")
    data = network()
    found = rewrite(data)
    assert found.data == data and not found.changed and found.reason == "output 'y' differs"
    assert found.before == found.after


def test_what_cannot_be_run_is_kept() -> None:
    def unknown_op(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"FlexUnheardOf"

    model = unpacked(network())
    unknown_op(model)
    data = written(model, 10_000) + bytes(64)
    found = exact.slimmed(data)
    assert found.data == data and "could not be compared" in found.reason and "/tmp" not in found.reason


def test_a_wrong_answer_is_seen() -> None:
    data = network()
    model = unpacked(data)
    graph = model.subgraphs[0]
    bias = model.buffers[graph.tensors[graph.operators[-1].inputs[2]].buffer]
    bias.data = (bias.data.view(np.int32) + 400).view(np.uint8)
    assert "differs" in complaint(data, written(model, len(data)))
    assert complaint(data, written(unpacked(data), len(data))) == ""


@pytest.mark.parametrize("which", ["litert", "tflite-runtime"])
def test_both_runtimes_run_what_was_rewritten(which: Any, tmp_path: Path) -> None:
    if runtime.available()[which] is None:
        pytest.skip(f"{which} is not installed")
    paths = {}
    for name, data in (("before", network()), ("after", exact.slimmed(exact.shrunk(network()).data).data)):
        paths[name] = tmp_path / f"{name}.tflite"
        paths[name].write_bytes(data)
    assert paths["after"].stat().st_size < 0.8 * paths["before"].stat().st_size
    vectors = {"x": np.random.default_rng(0).integers(-128, 128, (20, 6, 6, 3), dtype=np.int8)}
    answers = [runtime.run_golden(path, vectors, runtime=which) for path in paths.values()]
    assert answers[0].keys() == answers[1].keys()
    for name in answers[0]:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])


@pytest.mark.slow
def test_real_files_answer_alike_and_never_grow(shared_models: Path) -> None:
    for path in sorted(shared_models.glob("*/*.tflite")):
        data = path.read_bytes()
        found = exact.slimmed(data)
        assert found.changed and len(found.data) < len(data), (path.name, found.reason)
        assert tflite.macs(parse(found.data)) == tflite.macs(parse(data))
