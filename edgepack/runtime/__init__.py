"""The one door to TFLite interpreters, each in a child process of its own.

A malformed .tflite can take its interpreter down with a signal; the parent only ever sees one of its own
errors. The child is ``python -m edgepack.runtime``: one JSON request on standard input, one JSON line back.
"""

from edgepack.runtime.availability import DISTRIBUTIONS, Kernels, Runtime, available, require
from edgepack.runtime.client import ask
from edgepack.runtime.micro import MicroArena, MicroRun, run_micro
from edgepack.runtime.prediction import Prediction, predict
from edgepack.runtime.sameness import Sameness, compared
from edgepack.runtime.vectors import run_golden, run_kernels

__all__ = [
    "DISTRIBUTIONS",
    "Kernels",
    "MicroArena",
    "MicroRun",
    "Prediction",
    "Runtime",
    "Sameness",
    "ask",
    "available",
    "compared",
    "predict",
    "require",
    "run_golden",
    "run_kernels",
    "run_micro",
]
