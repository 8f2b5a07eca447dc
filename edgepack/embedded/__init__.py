"""Models as microcontrollers and NPUs store and run them: TensorFlow Lite Micro's arena and kernels, tables, Vela."""

from edgepack.embedded.compiled import Compiled, Flash, compile_model
from edgepack.embedded.micro import Examined, examine
from edgepack.embedded.needs import require_tools
from edgepack.embedded.operators import resolver_methods, unsupported

__all__ = [
    "Compiled",
    "Examined",
    "Flash",
    "compile_model",
    "examine",
    "require_tools",
    "resolver_methods",
    "unsupported",
]
