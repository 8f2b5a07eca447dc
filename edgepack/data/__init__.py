"""Calibration, evaluation and training data: read, checked, laid out for every later step.

A check looks at headers only and does without numpy, so what computes is imported from its own module: `materialize`
and `lint`.
"""

from edgepack.data.code_files import code_digests
from edgepack.data.dataset import Affine, Dataset, Finding, content_digest
from edgepack.data.examine import Examined, check_labels, examine, fingerprint
from edgepack.data.preprocess import Geometry, InputPreprocess, Preprocess
from edgepack.data.source import DataSource
from edgepack.data.usercode import load_metric, user_function

__all__ = [
    "Affine",
    "DataSource",
    "Dataset",
    "Examined",
    "Finding",
    "Geometry",
    "InputPreprocess",
    "Preprocess",
    "check_labels",
    "code_digests",
    "content_digest",
    "examine",
    "fingerprint",
    "load_metric",
    "user_function",
]
