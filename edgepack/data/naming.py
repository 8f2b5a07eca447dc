"""Names in messages: the nearest one, and the list of all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, where one is close, and what there is.

    Example:
      >>> nearest("lables", ["x", "labels"])
      "did you mean 'labels'? There is: 'x', 'labels'"
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return (f"did you mean {close[0]!r}? " if close else "") + f"There is: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """Quoted names, at most a dozen.

    Example:
      >>> listed("ab")
      "'a', 'b'"
    """
    quoted = [repr(name) for name in names]
    return ", ".join(quoted[:12]) + (f" and {len(quoted) - 12} more" if len(quoted) > 12 else "")
