"""How fast a .tflite is here: measured in a child, never without its circumstances."""

from edgepack.benchmark.circumstances import Circumstances
from edgepack.benchmark.comparison import Comparison, compare
from edgepack.benchmark.measurement import Latency, Measurement, measure

__all__ = ["Circumstances", "Comparison", "Latency", "Measurement", "compare", "measure"]
