"""The package: one file that carries a model, what is known of it, and the means to check it."""

from edgepack.bundle.drawing import make_golden
from edgepack.bundle.golden import Golden, GoldenReport, OutputCheck
from edgepack.bundle.package import SUFFIX, Package, extracted_model, pack, read, verify_golden

__all__ = [
    "SUFFIX",
    "Golden",
    "GoldenReport",
    "OutputCheck",
    "Package",
    "extracted_model",
    "make_golden",
    "pack",
    "read",
    "verify_golden",
]
