"""TFLite's built-in operators by number."""

from __future__ import annotations

import functools

CUSTOM = 32


@functools.cache
def _names() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {code: name for name, code in vars(BuiltinOperator).items() if not name.startswith("_")}


def builtin_name(code: int) -> str | None:
    """Name such as "CONV_2D", None for a number that this LiteRT does not know."""
    return _names().get(code)
