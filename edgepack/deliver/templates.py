"""Files with $names in them, shipped beside the receiver that fills them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any


def filled(package: str, template: str, values: Mapping[str, Any]) -> bytes:
    """A file of `package`'s folder `templates`, its $names replaced; an unknown $name is a defect and raises KeyError."""
    text = resources.files(package).joinpath("templates").joinpath(template).read_text(encoding="utf-8")
    return Template(text).substitute(values).encode()
