"""What an interpreter child can be asked to do: name → function, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

OPERATIONS: Final[dict[str, str]] = {
    "compare_tensors": "edgepack.runtime.tensors_here:compare_here",
    "observe": "edgepack.runtime.tensors_here:observe_here",
    "compare": "edgepack.runtime.sameness:compare_here",
    "micro": "edgepack.runtime.micro:run_here",
    "draw": "edgepack.runtime.repeating:draw_here",
    "delegated": "edgepack.runtime.delegated_here:delegated_here",
    "golden": "edgepack.runtime.golden_here:check_here",
    "invoke": "edgepack.runtime.repeating:invoke_here",
    "predict": "edgepack.runtime.predicting:predict_here",
    "time": "edgepack.runtime.timing:time_here",
    "time_each": "edgepack.runtime.timing:time_each_here",
    "time_pair": "edgepack.runtime.timing:time_pair_here",
    "vectors": "edgepack.runtime.vectors:run_here",
}


def run(
    operation: str, runtime: str, arguments: dict[str, Any], report: Callable[[float], None]
) -> dict[str, Any]:
    """Calls the operation's function with ``runtime``, ``report`` and its arguments."""
    module, name = OPERATIONS[operation].split(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function(runtime=runtime, report=report, **arguments)
