"""Reads untrusted model files statically: h5py, json and zipfile, never a Keras loader, no code from the file."""

from edgepack.gate.facts import Kernel, LayerFacts, layer_facts
from edgepack.gate.graph import Call, Graph, Layer, Ref

__all__ = ["Call", "Graph", "Kernel", "Layer", "LayerFacts", "Ref", "layer_facts"]
