"""An admitted package in the form that its receiver expects: one folder each, deterministic, written whole or not at all.

A receiver is a function from a `Subject` and its `Options` to a `Tree`; it writes nothing itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgepack import errors
from edgepack.tables import nearest

if TYPE_CHECKING:
    from edgepack.deliver.options import Options
    from edgepack.deliver.subject import Subject
    from edgepack.deliver.tree import Tree

RECEIVERS: Final[dict[str, str]] = {
    "android": "edgepack.deliver.android:tree",
    "ios": "edgepack.deliver.ios:tree",
    "linux": "edgepack.deliver.linux:tree",
    "mcu": "edgepack.deliver.mcu:tree",
    "release": "edgepack.deliver.release:tree",
}
"""Name → "module:function" that makes the tree; imported only when asked for."""


def deliver(subject: Subject, receiver: str, options: Options, out: Path) -> tuple[str, ...]:
    """Writes the folder `out` for one receiver; returns the files in it.

    Raises:
      BadInputError: an unknown receiver, or a package that this receiver cannot take.
      GateError: it does not fit the flash or the slot it is meant for; nothing is written.
      StorageError: the folder cannot be written.
    """
    from edgepack.deliver.tree import write

    tree = _made(receiver)(subject, options)
    write(tree, out)
    return tuple(sorted(tree))


def _made(receiver: str) -> Callable[[Subject, Options], Tree]:
    if receiver not in RECEIVERS:
        raise errors.BadInputError(f"--to {receiver} is unknown{nearest(receiver, RECEIVERS)}")
    module, _, function = RECEIVERS[receiver].partition(":")
    made: Callable[[Subject, Options], Tree] = getattr(importlib.import_module(module), function)
    return made
