"""Where data come from: table `[data.calibration]`, `[data.evaluation]` or `[data.training]` of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgepack import errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Kind = Literal["npz", "npy", "idx", "folder", "provider"]
Scalar = bool | int | float | str


class DataSource(BaseModel):
    """One source of samples.

    `path` is a .npz, a .npy, an IDX file (MNIST's format, plain or .gz) or a folder with a folder of pictures
    per class; or `provider` names the user's own function. With `shuffle_seed` the rows are permuted first;
    `start` and `count` cut from that, so that two tables with one seed and different slices never overlap.

    Example:
      >>> DataSource(path="digits.npz", inputs="x", labels="y", count=100).kind
      'npz'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    path: str | None = None
    """Relative to the recipe."""
    inputs: str | dict[str, str] | None = None
    """Array of the only input, or { model_input_name = "array_name" }; absent: "x", or arrays named so."""
    labels: str | dict[str, str] | None = None
    """Array of the labels, or { output_name = "array_name" }; for .npy and IDX: the labels' file."""
    labels_path: str | None = None
    """File of the labels (.npy, IDX)."""
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Class names in the order of the model's outputs; for folders the sorted folder names, unless given."""
    start: Annotated[int, Field(ge=0)] = 0
    """First row to take."""
    count: Annotated[int, Field(ge=1)] | None = None
    """How many rows to take; absent: all that follow."""
    shuffle_seed: Annotated[int, Field(ge=0)] | None = None
    """Permutes the rows before `start` and `count` cut."""
    provider: str | None = None
    """"module:function", run only with --trust-code; returns {array name: array}, or inputs and labels."""
    arguments: dict[str, Scalar] = Field(default_factory=dict)
    """Keyword arguments for the provider."""

    @field_validator("path", "labels_path")
    @classmethod
    def _not_empty(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty; give the path of a .npz, .npy, IDX file or folder")
        return value

    @field_validator("provider")
    @classmethod
    def _module_and_function(cls, value: str | None) -> str | None:
        if value is not None:
            module, colon, function = value.partition(":")
            if (
                not colon
                or not function.isidentifier()
                or not all(part.isidentifier() for part in module.split("."))
            ):
                raise ValueError(f'expected "module:function"; got {value!r}')
        return value

    @field_validator("inputs", "labels")
    @classmethod
    def _not_an_empty_table(cls, value: Any) -> Any:
        if value == {} or value == "":
            raise ValueError("is empty; name an array, or leave the key out")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataSource:
        if (self.path is None) == (self.provider is None):
            raise ValueError('give either path = "file or folder" or provider = "module:function"')
        if self.arguments and self.provider is None:
            raise ValueError("arguments are for a provider")
        if self.labels_path is not None and (self.labels is not None or self.provider is not None):
            raise ValueError("labels_path goes with path = a .npy or IDX file, and without labels")
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names one class twice")
        return self

    def resolved(self, base: Path) -> DataSource:
        """The same source with its paths made absolute, relative to `base` (the recipe's folder)."""
        labels = self.labels
        if self.kind in ("npy", "idx") and labels is not None:
            by_output = labels if isinstance(labels, dict) else {"": labels}
            files = {output: str(base / file) for output, file in by_output.items()}
            labels = files if isinstance(labels, dict) else files[""]
        return self.model_copy(
            update={
                "path": None if self.path is None else str(base / self.path),
                "labels_path": None if self.labels_path is None else str(base / self.labels_path),
                "labels": labels,
            }
        )

    @property
    def kind(self) -> Kind:
        """What the path is, told from its name; a folder by looking."""
        if self.path is None:
            return "provider"
        name = Path(self.path).name.lower()
        if name.endswith(".npz"):
            return "npz"
        if name.endswith(".npy"):
            return "npy"
        if name.endswith((".gz", "ubyte")) or "idx" in name.rsplit(".", 1)[-1]:
            return "idx"
        return "folder"

    @property
    def title(self) -> str:
        """How messages call this source."""
        return self.path if self.path is not None else f"provider {self.provider}"

    def places(self, total: int) -> range:
        """Which of `total` rows to take, after shuffling.

        Raises:
          DataError: the slice lies outside.
        """
        if total == 0:
            raise errors.DataError(f"{self.title}: holds no samples; expected at least one")
        stop = total if self.count is None else self.start + self.count
        if self.start >= total or stop > total:
            asked = f"start = {self.start}" + ("" if self.count is None else f", count = {self.count}")
            raise errors.DataError(f"{self.title}: holds {total} samples, but the recipe asks for {asked}")
        return range(self.start, stop)

    def rows(self, total: int) -> npt.NDArray[np.int64]:
        """Indices of the rows to take out of `total`.

        Raises:
          DataError: the slice lies outside.
        """
        import numpy as np  # a check only counts

        places = self.places(total)
        if self.shuffle_seed is None:
            return np.arange(places.start, places.stop)
        permutation = np.random.Generator(np.random.PCG64(self.shuffle_seed)).permutation(total)
        return permutation[places.start : places.stop]
