"""Updates as the difference between two releases: the smallest of four ways, made on the build side, applied anywhere."""

from edgepack.delta.apply import apply_delta
from edgepack.delta.container import Delta, End, Part, parse
from edgepack.delta.make import BARE_METHODS, make_delta
from edgepack.delta.methods import METHODS

__all__ = [
    "BARE_METHODS",
    "METHODS",
    "Delta",
    "End",
    "Part",
    "apply_delta",
    "make_delta",
    "parse",
]
