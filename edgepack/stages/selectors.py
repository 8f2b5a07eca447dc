"""Which layers a stage acts on: globs on names, layer kinds, sizes."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from edgepack.facts import LayerFacts

Globs = Annotated[tuple[str, ...], Field(strict=False)]


class Selector(BaseModel):
    """The key `layers` of a stage: ``"conv*"``, ``["conv*", "!conv_1"]`` or a table of the fields below.

    A layer is selected when it meets every condition that is given. A glob with ``!`` in front excludes. A
    factor is selected by its own name (``dense_reduce``) and by the name of the layer that it came from
    (``dense``).

    Example:
      >>> Selector.model_validate(["conv*", "!conv_1"]).refusal("conv_1", "Conv2D", 500)
      'excluded by "!conv_1"'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    names: Globs = ()
    """Globs on layer names; every name when absent."""
    kinds: Globs = ()
    """Globs on layer kinds, such as "Conv*"; every kind when absent."""
    min_parameters: Annotated[int, Field(ge=0)] = 0
    """Biases included."""
    max_parameters: Annotated[int, Field(ge=1)] | None = None
    """Biases included."""

    @model_validator(mode="before")
    @classmethod
    def _from_globs(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"names": [value]}
        if isinstance(value, list):
            return {"names": value}
        return value

    @model_validator(mode="after")
    def _possible(self) -> Selector:
        if self.max_parameters is not None and self.max_parameters < self.min_parameters:
            raise ValueError(
                f"selects nothing: max_parameters = {self.max_parameters} is below "
                f"min_parameters = {self.min_parameters}"
            )
        if any(not glob.removeprefix("!") for glob in (*self.names, *self.kinds)):
            raise ValueError('has an empty name; "*" selects every layer')
        return self

    @property
    def is_default(self) -> bool:
        """Whether it selects every layer because nothing was said."""
        return self == Selector()

    def refusal(self, name: str, kind: str, parameters: int, *, origin: str | None = None) -> str | None:
        """Why a layer is not selected; None where it is.

        Args:
          origin: for a factor, the layer that it came from.
        """
        called = (name,) if origin is None else (name, origin)
        if (glob := _refusing_glob(self.names, called)) is not None:
            return glob
        if (glob := _refusing_glob(self.kinds, (kind,))) is not None:
            return f"{kind}: {glob}"
        if parameters < self.min_parameters:
            return f"{parameters:,} parameters: fewer than min_parameters = {self.min_parameters:,}"
        if self.max_parameters is not None and parameters > self.max_parameters:
            return f"{parameters:,} parameters: more than max_parameters = {self.max_parameters:,}"
        return None

    def selects(self, facts: LayerFacts, *, origin: str | None = None) -> bool:
        """Whether the layer meets every condition."""
        return self.refusal(facts.name, facts.kind, facts.parameters, origin=origin) is None

    def asks_for(self, name: str, kind: str, *, origin: str | None = None) -> bool:
        """Whether the user named this layer or its kind (not with "*"), which overrides default caution."""
        called = (name,) if origin is None else (name, origin)
        return any(
            fnmatch.fnmatchcase(word, glob)
            for globs, words in ((self.names, called), (self.kinds, (kind,)))
            for glob in globs
            if glob.strip("*") and not glob.startswith("!")
            for word in words
        )

    def unmatched(self, names: set[str], kinds: set[str]) -> list[tuple[str, set[str]]]:
        """Globs that match nothing at all, each with the words it could have matched."""
        return [
            (glob, words)
            for globs, words in ((self.names, names), (self.kinds, kinds))
            for glob in globs
            if not any(fnmatch.fnmatchcase(word, glob.removeprefix("!")) for word in words)
        ]


def _refusing_glob(globs: tuple[str, ...], words: tuple[str, ...]) -> str | None:
    for glob in globs:
        if glob.startswith("!") and any(fnmatch.fnmatchcase(word, glob[1:]) for word in words):
            return f'excluded by "{glob}"'
    wanted = [glob for glob in globs if not glob.startswith("!")]
    if wanted and not any(fnmatch.fnmatchcase(word, glob) for glob in wanted for word in words):
        return "not selected by " + ", ".join(f'"{glob}"' for glob in wanted)
    return None
