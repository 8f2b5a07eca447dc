"""The recipe's own Python functions: imported only when the user said that they may run."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack import errors

if TYPE_CHECKING:
    from edgepack.numerics.metrics import Metric


def user_function(
    reference: str, *, trust_code: bool, import_paths: Sequence[Path], purpose: str
) -> Callable[..., Any]:
    """The function that "module:function" names, callable with `import_paths` in place.

    Args:
      reference: as written in the recipe.
      trust_code: whether `--trust-code` was given.
      import_paths: searched before everything else; the recipe's folder.
      purpose: the recipe's key, for messages, such as "[metric] name".

    Raises:
      TrustError: code may not run.
      DataError: no such module or function.
    """
    if not trust_code:
        raise errors.TrustError(
            f"{purpose} = {reference!r} runs Python code of the recipe; if you trust it, add --trust-code"
        )
    module_name, _, function_name = reference.partition(":")
    with importable(import_paths):
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # whatever the user's module raises while it is imported
            where = ", ".join(str(path) for path in import_paths) or "the Python path"
            raise errors.DataError(
                f"{purpose} = {reference!r}: module {module_name!r} cannot be imported from {where}: "
                f"{type(error).__name__}: {error}"
            ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise errors.DataError(
            f"{purpose} = {reference!r}: {getattr(module, '__file__', module_name)} "
            f"has no function {function_name!r}"
        )

    @functools.wraps(function)  # attributes of the function, such as higher_is_better, come along
    def call(*arguments: Any, **keywords: Any) -> Any:
        with importable(import_paths):  # for what it imports only when called
            return function(*arguments, **keywords)

    return call


def load_metric(name: str, *, trust_code: bool = False, import_paths: Sequence[Path] = ()) -> Metric:
    """The metric that `[metric] name` asks for; a "module:function" is imported.

    Raises:
      DataError: no such metric, module or function.
      TrustError: code may not run.
    """
    from edgepack.numerics.metrics import Metric, is_user_metric  # a check reads data and computes no metric

    if not is_user_metric(name):
        return Metric(name=name)
    function = user_function(name, trust_code=trust_code, import_paths=import_paths, purpose="[metric] name")
    return Metric(name=name, function=function)


@contextmanager
def importable(paths: Sequence[Path]) -> Iterator[None]:
    """Puts `paths` first on sys.path meanwhile; modules found there are forgotten afterwards.

    Forgotten, because two recipes in one process may both have a `data.py`.
    """
    folders = [str(path.resolve()) for path in paths]
    known = set(sys.modules)
    shadowed = {
        name: module for name, module in sys.modules.items() if _lies_in(module, paths) and name != "__main__"
    }
    sys.path[:0] = folders
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for folder in folders:
            if folder in sys.path:
                sys.path.remove(folder)
        for name in set(sys.modules) - known:
            if _lies_in(sys.modules[name], paths):
                del sys.modules[name]
        sys.modules.update(shadowed)


def _lies_in(module: Any, paths: Sequence[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and any(Path(file).is_relative_to(path.resolve()) for path in paths)
