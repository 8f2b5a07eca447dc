"""Which of the refinements help: tried in order of cost, each kept only where held-back samples say so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgepack.numerics.divergence import closer
from edgepack.stages.refinement import Choices, Refiner

if TYPE_CHECKING:
    from edgepack.tflite.noise import LayerNoise

SPARED: Final = 3
"""Most layers that are kept in float one by one."""
RANGES: Final = ("minmax", "p99.99", "mse")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the caller found about an artifact.

    Attributes:
      complaint: why it is not good enough; None when it is.
      drop: of the metric, positive is worse; infinite where it cannot be run.
      strained: whether it is worth looking for something better, good enough or not.
    """

    complaint: str | None = None
    drop: float = 0.0
    strained: bool = False


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One refinement that was made and measured.

    Attributes:
      chosen: whether the samples held back speak for it.
      told: what was found, for the ledger.
    """

    name: str
    helps: str
    choices: Choices
    path: Path
    judgement: Judgement
    chosen: bool
    told: str


def better(
    refiner: Refiner,
    first: Path,
    start: Choices,
    searches: Collection[str],
    judge: Callable[[Path], Judgement],
) -> Iterator[Trial]:
    """Tries refinements in order of cost until the model is no longer strained.

    Args:
      refiner: makes and measures them.
      first: the file of `start`.
      start: where to begin.
      searches: which may be tried: "ranges", "equalize", "correct_bias", "weights".
      judge: measures the caller's metric.
    """
    current, far = start, refiner.divergences(first)
    for what in ("ranges", "equalize", "correct_bias", "weights"):
        options = [choices for choices in _options(what, current) if choices != current]
        if what not in searches or not options:
            continue
        made = [(choices, path, refiner.divergences(path)) for choices in options
                for path in [refiner.make(choices)]]  # fmt: skip
        choices, path, found = min(made, key=lambda item: float(item[2].mean()))
        if what == "equalize" and not refiner.equalized_pairs:
            continue  # the same model again
        chosen = closer(found, far)
        judgement = judge(path)
        told = (
            f"{choices}: {float(found.mean()):.2g} from the float model on {len(found)} calibration samples held back, "
            f"in place of {float(far.mean()):.2g}{'' if chosen else ', no more than noise'}; "
            f"measured drop {judgement.drop:.4f}"
        )
        yield Trial(
            name=str(choices),
            helps="its answers are closer to the float model's",
            choices=choices,
            path=path,
            judgement=judgement,
            chosen=chosen,
            told=told,
        )
        if chosen:
            current, far = choices, found
            if not judgement.strained:
                return


def _options(what: str, current: Choices) -> Sequence[Choices]:
    if what == "ranges":
        return [replace(current, ranges=ranges) for ranges in RANGES]
    if what == "equalize":
        return [replace(current, equalize=True, ranges=ranges) for ranges in RANGES]
    if what == "correct_bias":
        return [replace(current, correct_bias=True)]
    return [replace(current, per_tensor=not current.per_tensor)]


def layers_in_float(
    refiner: Refiner, chosen: Choices, worst: Sequence[LayerNoise], judge: Callable[[Path], Judgement]
) -> Iterator[Trial]:
    """Keeps the noisiest layers in float, one more each time, until the caller no longer complains.

    Args:
      refiner, chosen: what the rest of the model is made with.
      worst: layers by the noise that they add, worst first.
      judge: measures the caller's metric.
    """
    spared: tuple[str, ...] = ()
    named: list[str] = []
    for layer in [item for item in worst if item.added > 0.0][:SPARED]:
        spared, named = (*spared, layer.node), [*named, layer.layer]
        choices = replace(chosen, float_nodes=spared)
        path = refiner.make(choices)
        judgement = judge(path)
        kept = f"{', '.join(named)} in float"
        yield Trial(
            name=kept,
            helps=f"{', '.join(named)} stayed float, whose noise was the largest; all else is integer",
            choices=choices,
            path=path,
            judgement=judgement,
            chosen=True,
            told=f"{kept}: measured drop {judgement.drop:.4f}",
        )
        if judgement.complaint is None:
            return
