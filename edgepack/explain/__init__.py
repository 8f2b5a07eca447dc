"""Answers why a package is as it is, and what would help, in numbers."""

from edgepack.explain.explanation import Explanation, explained
from edgepack.explain.suggestions import Suggestion

__all__ = ["Explanation", "Suggestion", "explained"]
