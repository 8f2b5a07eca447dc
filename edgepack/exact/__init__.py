"""Rewriting a .tflite, whoever made it, so that its answers stay the same bits: proved on the interpreter each time."""

from edgepack.exact.rewriting import Rewritten, Shrunk, shrunk, slimmed

__all__ = ["Rewritten", "Shrunk", "shrunk", "slimmed"]
