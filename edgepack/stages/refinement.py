"""Better int8 from the same calibration samples: ranges, equalization, bias correction, one scale per kernel.

What is chosen is chosen on calibration samples that were held back: a candidate stays only where its answers are
closer to the float model's by more than noise. Everything is done to the float model that the converter is about to
quantize; the integers are always the converter's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edgepack import errors, gate
from edgepack.numerics import ranges as range_choice
from edgepack.numerics.divergence import divergence
from edgepack.records import Json

if TYPE_CHECKING:
    from edgepack.backend import Backend
    from edgepack.data import Dataset
    from edgepack.runtime.tensors import Observed
    from edgepack.tflite.noise import LayerNoise

Array = npt.NDArray[Any]
Ranges = Literal["minmax", "p99.99", "mse"]
FITTED: Final = 96
"""Most samples that ranges and means are measured on."""
HELD_BACK: Final = 64
"""Most samples that choices are made on."""
FEWEST: Final = 8
"""Calibration samples below which nothing can be held back."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What is done to the calibrated model before it is quantized; the defaults are the bare converter's.

    Attributes:
      ranges: of the activations: all that was seen, without the rarest 0.01 % at each end, or least squared error.
      equalize: whether channels between two layers are brought to like ranges.
      correct_bias: whether the mean that rounding adds to each channel is taken from the biases.
      per_tensor: one scale for a whole kernel in place of one per output channel.
      float_nodes: tensors whose ops stay float.
    """

    ranges: Ranges = "minmax"
    equalize: bool = False
    correct_bias: bool = False
    per_tensor: bool = False
    float_nodes: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the bare converter does the same."""
        return self == Choices()

    def __str__(self) -> str:
        said = [f"{self.ranges} ranges"] if self.ranges != "minmax" else []
        said += ["equalized"] if self.equalize else []
        said += ["biases corrected"] if self.correct_bias else []
        said += ["one scale per kernel"] if self.per_tensor else []
        return ", ".join(said) or "plain"


@dataclass(kw_only=True)
class _Basis:
    """A float model with ranges, and what its tensors hold, for the choices that look at it."""

    path: Path
    observe: Callable[[Path], Mapping[int, Observed]]

    @cached_property
    def observed(self) -> Mapping[int, Observed]:
        return self.observe(self.path)


@dataclass
class Refiner:
    """Makes and measures int8 forms of one candidate. Use as a context: its files are temporary.

    Args:
      backend: the TensorFlow child.
      conversion: arguments of the "convert" call that is to be refined, without the target.
      calibration: all samples.
      promised: layers whose weights the exported file will be searched for; they are not equalized.
      parent: directory for temporary files.
    """

    backend: Backend
    conversion: Mapping[str, Json]
    calibration: Dataset
    promised: Collection[str] = ()
    parent: Path | None = None
    timeout_s: float = 1800.0
    equalized_pairs: int = 0
    _made: dict[Choices, Path] = field(default_factory=dict)
    _bases: dict[tuple[bool, bool], _Basis] = field(default_factory=dict)

    def __enter__(self) -> Refiner:
        from edgepack.data.subset import subset

        self._scratch = tempfile.TemporaryDirectory(prefix="refining-", dir=self.parent)
        self._folder = Path(self._scratch.name)
        limit = self.conversion.get("calibration_limit")
        count = self.calibration.count
        fitted, held = split(min(count, limit) if isinstance(limit, int) else count)
        for name in ("fitted", "held"):
            (self._folder / name).mkdir()
        self.fitted = subset(self.calibration, fitted, self._folder / "fitted")
        self.held = subset(self.calibration, held, self._folder / "held")
        calibrated = self._folder / "calibrated.tflite"
        self.answer = self._call(
            "convert", **{**self.conversion, "target": str(calibrated), "calibrate_only": True}
        )
        self._bases[(False, False)] = _Basis(path=calibrated, observe=self._observed)
        return self

    def __exit__(self, *error: object) -> None:
        self._scratch.cleanup()

    def make(self, choices: Choices) -> Path:
        """The int8 file for these choices.

        Raises:
          ConversionError, ModelError, ChildCrashError.
        """
        if choices in self._made:
            return self._made[choices]
        path = self._folder / f"made_{len(self._made)}.tflite"
        edited = self._folder / "edited.tflite"
        edited.write_bytes(self._edited(choices))
        types = self.answer["types"]
        self._call(
            "requantize",
            source=str(edited),
            target=str(path),
            input_type=types[0],
            output_type=types[1],
            per_tensor=choices.per_tensor,
            float_nodes=list(choices.float_nodes),
        )
        self._made[choices] = path
        return path

    def divergences(self, path: Path) -> npt.NDArray[np.float64]:
        """How far a file's answers lie from the float model's on each sample held back."""
        return divergence(self._float_answers, self._answers(path))

    @cached_property
    def _float_answers(self) -> dict[str, Array]:
        return self._answers(self._bases[(False, False)].path)

    def _answers(self, path: Path) -> dict[str, Array]:
        from edgepack import runtime

        target = self._folder / "answers.npz"
        runtime.predict(path, self.held, target)
        with np.load(target) as found:
            return dict(found)

    def noise(self, path: Path, choices: Choices) -> list[LayerNoise]:
        """The layers of a file by the noise that they add, worst first."""
        from edgepack import tflite
        from edgepack.runtime import tensors
        from edgepack.tflite.calibrated import Calibrated
        from edgepack.tflite.noise import ranked, same_tensors

        basis = self._basis(choices)
        model = Calibrated(basis.path.read_bytes())
        pairs = same_tensors(model, tflite.read(path))
        found = tensors.compare(
            basis.path, path, self.held, pairs, floors=self._floors, timeout_s=self.timeout_s
        )
        return ranked(
            model, {pair[0]: item.ratio for pair, item in zip(pairs, found, strict=True)}, self._layers()
        )

    def _layers(self) -> Collection[str]:
        source = Path(str(self.conversion["source"]))
        if source.is_dir():
            return ()
        try:
            return gate.read(source).layers.keys()
        except errors.EdgepackError:  # layers of the user's own, which only the child may import
            return ()

    @property
    def _floors(self) -> Mapping[str, float]:
        floors: Mapping[str, float] = self.answer["clipped"]
        return floors

    def _call(self, operation: str, **arguments: Json) -> dict[str, Any]:
        return self.backend.call(operation, timeout_s=self.timeout_s, **arguments)

    def _observed(self, path: Path) -> Mapping[int, Observed]:
        from edgepack.runtime import tensors
        from edgepack.tflite.calibrated import Calibrated

        seen = list(Calibrated(path.read_bytes()).ranges())
        return tensors.observe(
            path, self.fitted, seen, self._folder, floors=self._floors, timeout_s=self.timeout_s
        )

    def _basis(self, choices: Choices) -> _Basis:
        key = (choices.equalize, choices.equalize and choices.per_tensor)
        if key not in self._bases:
            from edgepack.tflite.calibrated import Calibrated
            from edgepack.tflite.equalizing import equalize, frozen_layers

            before = self._bases[(False, False)]
            model = Calibrated(before.path.read_bytes())
            reach = {index: (seen.channel_low, seen.channel_high) for index, seen in before.observed.items()}
            changed = equalize(
                model, reach, per_tensor=choices.per_tensor, frozen=frozen_layers(self.promised)
            )
            self.equalized_pairs = max(self.equalized_pairs, len(changed))
            path = self._folder / f"equalized_{choices.per_tensor}.tflite"
            path.write_bytes(model.to_bytes())
            self._bases[key] = _Basis(path=path, observe=self._observed) if changed else before
        return self._bases[key]

    def _edited(self, choices: Choices) -> bytes:
        from edgepack import tflite
        from edgepack.tflite.calibrated import Calibrated
        from edgepack.tflite.correcting import correct_biases

        basis = self._basis(choices)
        model = Calibrated(basis.path.read_bytes())
        if choices.correct_bias:
            first = self.make(replace(choices, correct_bias=False, float_nodes=()))
            means = {index: seen.channel_mean for index, seen in basis.observed.items()}
            correct_biases(model, tflite.read(first), means)
        if choices.ranges != "minmax" or basis is not self._bases[(False, False)]:
            for index, seen in basis.observed.items():
                model.set_range(index, *chosen_range(choices.ranges, seen))
        return model.to_bytes()


def split(count: int) -> tuple[list[int], list[int]]:
    """Samples to measure on and samples to choose on: every fourth is held back, evenly spread over at most so many.

    Raises:
      DataError: too few.

    Example:
      >>> fitted, held = split(8)
      >>> fitted, held
      ([0, 1, 2, 4, 5, 6], [3, 7])
    """
    if count < FEWEST:
        raise errors.DataError(
            f"[data.calibration] has {count} samples; choosing ranges needs at least {FEWEST}, some to measure and "
            "some to choose on"
        )
    held = [number for number in range(count) if number % 4 == 3]
    fitted = [number for number in range(count) if number % 4 != 3]
    return _spread(fitted, FITTED), _spread(held, HELD_BACK)


def _spread(rows: Sequence[int], most: int) -> list[int]:
    if len(rows) <= most:
        return list(rows)
    return [rows[index] for index in np.linspace(0, len(rows) - 1, most).round().astype(int).tolist()]


def chosen_range(choice: Ranges, seen: Observed) -> tuple[float, float]:
    """The range of one tensor by one rule; it holds 0."""
    if choice == "p99.99":
        return range_choice.percentile(seen.histogram, seen.low, seen.high)
    if choice == "mse":
        return range_choice.least_squares(seen.histogram, seen.low, seen.high)
    return min(seen.low, 0.0), max(seen.high, 0.0)
