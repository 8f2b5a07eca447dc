"""The planned arena: no two tensors that live together overlap, so it is never below their sum, nor above all of them."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import tflite
from edgepack.tflite.arena import _Life, _planned, arena
from tests.tflite.handmade_tflite import Handmade

LIVES = st.lists(
    st.tuples(st.integers(1, 64), st.integers(0, 9), st.integers(0, 5)).map(
        lambda drawn: _Life(size=16 * drawn[0], first=drawn[1], last=drawn[1] + drawn[2])
    ),
    min_size=1,
    max_size=12,
)


@given(LIVES)
@settings(max_examples=150, deadline=None)
def test_between_the_peak_and_the_sum(lives: list[_Life]) -> None:
    peak = max(sum(life.size for life in lives if life.first <= moment <= life.last) for moment in range(16))
    assert peak <= _planned(lives) <= sum(life.size for life in lives)


def test_a_chain_needs_its_largest_pair(tmp_path: Path) -> None:
    graph = Handmade()
    sizes = (32, 64, 16, 48)
    tensors = [graph.tensor(f"t{n}", (1, size), scale=0.1) for n, size in enumerate(sizes)]
    for source, target in itertools.pairwise(tensors):
        graph.op("LOGISTIC", [source], [target])
    path = tmp_path / "chain.tflite"
    path.write_bytes(graph.to_bytes(tensors[:1], tensors[-1:]))
    found = arena(tflite.read(path))
    assert found.activation_bytes == 32 + 64
    assert found.total_bytes > found.activation_bytes
