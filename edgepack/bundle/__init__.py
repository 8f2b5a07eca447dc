"""The package: one file that carries a model, what is known of it, the means to check it, and a signature beside it.

What needs numpy is imported when it is first asked for: `verify` answers without.
"""

import importlib
from typing import TYPE_CHECKING, Any

from edgepack.bundle.admission import Bundle, UnsignedBundle, admit
from edgepack.bundle.reading import Contents, read_contents
from edgepack.bundle.trust import Trust, TrustedKey
from edgepack.bundle.verification import SIGNATURE_SUFFIX, VerifiedBundle, verify

if TYPE_CHECKING:
    from edgepack.bundle.drawing import make_golden
    from edgepack.bundle.package import SUFFIX, Package, extracted_model, pack, read, verify_golden
    from edgepack.runtime.golden import Golden, GoldenReport, OutputCheck

_LATER = {
    "make_golden": "edgepack.bundle.drawing",
    "Golden": "edgepack.runtime.golden",
    "GoldenReport": "edgepack.runtime.golden",
    "OutputCheck": "edgepack.runtime.golden",
    "SUFFIX": "edgepack.bundle.package",
    "Package": "edgepack.bundle.package",
    "extracted_model": "edgepack.bundle.package",
    "pack": "edgepack.bundle.package",
    "read": "edgepack.bundle.package",
    "verify_golden": "edgepack.bundle.package",
}

__all__ = [
    "SIGNATURE_SUFFIX",
    "SUFFIX",
    "Bundle",
    "Contents",
    "Golden",
    "GoldenReport",
    "OutputCheck",
    "Package",
    "Trust",
    "TrustedKey",
    "UnsignedBundle",
    "VerifiedBundle",
    "admit",
    "extracted_model",
    "make_golden",
    "pack",
    "read",
    "read_contents",
    "verify",
    "verify_golden",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value
