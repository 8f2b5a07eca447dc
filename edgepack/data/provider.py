"""Data from the user's own function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.source import DataSource
from edgepack.data.stored import StoredArray, check_declared, checked_code, write_npy
from edgepack.data.usercode import user_function

Arrays = dict[str, Callable[[], StoredArray]]


def call_provider(
    source: DataSource, *, trust_code: bool, import_paths: Sequence[Path]
) -> tuple[Arrays, Arrays]:
    """Runs the provider: (arrays by name, labels by output name).

    A provider returns a dict of arrays, from which `inputs` and `labels` choose, or a pair (inputs, labels)
    of arrays or dicts by model input and output. The name "" stands for the only one.

    Raises:
      TrustError: code may not run.
      DataError: the function failed or returned something else.
    """
    assert source.provider is not None
    function = user_function(
        source.provider, trust_code=trust_code, import_paths=import_paths, purpose="provider"
    )
    title = f"provider {source.provider}"
    try:
        result = function(**source.arguments)
    except Exception as error:  # whatever the user's code raises
        raise errors.DataError(f"{title} failed: {type(error).__name__}: {error}") from error
    if isinstance(result, Mapping):
        return _arrays(title, result), {}
    if isinstance(result, tuple) and len(result) == 2:
        inputs, labels = result
        return _arrays(title, inputs), {} if labels is None else _arrays(title, labels)
    raise errors.DataError(
        f"{title} returned {type(result).__name__}; expected a dict of arrays or a pair (inputs, labels)"
    )


def _arrays(title: str, given: Any) -> Arrays:
    named = given if isinstance(given, Mapping) else {"": given}
    if not named or not all(isinstance(name, str) for name in named):
        raise errors.DataError(f"{title} returned a dict without arrays, or with names that are not text")
    return {name: partial(_stored, title, name, value) for name, value in named.items()}


def _stored(title: str, name: str, value: Any) -> StoredArray:
    titled = f"{title}, array {name!r}" if name else title
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise errors.DataError(f"{titled}: is not an array: {error}") from error
    code = checked_code(titled, array.dtype)
    check_declared(titled, array.shape, code)
    return StoredArray(title=titled, shape=array.shape, code=code, place=partial(_place, array))


def _place(array: npt.NDArray[Any], target: Path) -> Path:
    write_npy(target, array.shape, array.dtype, [array])
    return target
