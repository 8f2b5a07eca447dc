"""Reads untrusted model files statically: h5py, json and zipfile; no Keras loader, no code from the file."""

from edgepack.gate.facts import layer_facts
from edgepack.gate.graph import INPUT_KIND, Call, Graph, Layer, Ref, map_refs, refs_in
from edgepack.gate.outputs import keep_outputs
from edgepack.gate.reader import read
from edgepack.gate.sniff import is_saved_model

__all__ = [
    "INPUT_KIND",
    "Call",
    "Graph",
    "Layer",
    "Ref",
    "is_saved_model",
    "keep_outputs",
    "layer_facts",
    "map_refs",
    "read",
    "refs_in",
]
