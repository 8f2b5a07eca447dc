"""A commented starting recipe from a model file and some data: what can be found out is not asked."""

from edgepack.starting.start import Start, start
from edgepack.starting.text import as_json, summary, text

__all__ = ["Start", "as_json", "start", "summary", "text"]
