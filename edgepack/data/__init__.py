"""Calibration, evaluation and training data: read, checked, laid out for every later step."""

from edgepack.data.dataset import Affine, Dataset, Finding, content_digest
from edgepack.data.materialize import materialize
from edgepack.data.preprocess import Geometry, InputPreprocess, Preprocess
from edgepack.data.source import DataSource

__all__ = [
    "Affine",
    "DataSource",
    "Dataset",
    "Finding",
    "Geometry",
    "InputPreprocess",
    "Preprocess",
    "content_digest",
    "materialize",
]
