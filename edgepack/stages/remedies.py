"""What to try when the converter fails, or its result is useless: a ladder, cheapest rung first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgepack.records import Json

Scheme = Literal["int8", "float32", "float16", "dynamic", "int16x8"]
INTEGER_SCHEMES = frozenset({"int8", "int16x8"})
HOPELESS = "TFLite has no built-in op"
"""Begins the complaint that no rung can answer, because no arithmetic has that op."""
ELEMENTWISE = (
    "LOGISTIC", "TANH", "SOFTMAX", "ELU", "GELU", "EXP", "LOG", "RSQRT", "SQRT", "DIV",
    "SQUARED_DIFFERENCE", "HARD_SWISH",
)  # fmt: skip
"""Ops that suffer most from eight bits and hold no weights: the first to go back to float where accuracy asks
for it."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One way to convert.

    Attributes:
      name: short, for the ledger.
      arguments: what it changes in the "convert" call.
      keeps_integers: whether every computing op is still integer afterwards.
      repairs_accuracy: whether it is worth trying when a conversion worked but the model became useless.
      calibrates: whether it runs the model on calibration data, which crashed where a rung below crashed.
      refinable: whether the int8 form that it gives can be refined (`edgepack.stages.refinement`).
      spares: whether it keeps the noisiest layers of the best int8 form in float, one by one, and converts nothing
        anew.
      helps: what it does, in words.
    """

    name: str
    arguments: Mapping[str, Json]
    keeps_integers: bool
    repairs_accuracy: bool
    calibrates: bool
    helps: str
    refinable: bool = False
    spares: bool = False


def ladder(scheme: Scheme, *, free_batch: bool) -> tuple[Remedy, ...]:
    """The rungs for a scheme, the plain conversion first.

    Args:
      free_batch: the user asks for a free batch dimension; every later rung gives it up.

    Example:
      >>> [remedy.name for remedy in ladder("float16", free_batch=False)]
      ['plain', 'float']
    """
    integer = scheme in INTEGER_SCHEMES
    fixed: dict[str, Json] = {"batch": 1} if free_batch else {}

    def rung(
        name: str,
        helps: str,
        arguments: Mapping[str, Json],
        *,
        integers: bool,
        accuracy: bool,
        calibrates: bool,
        refinable: bool = False,
    ) -> Remedy:
        return Remedy(
            name=name,
            arguments={**fixed, **arguments},
            keeps_integers=integers,
            repairs_accuracy=accuracy,
            calibrates=calibrates,
            helps=helps,
            refinable=refinable,
        )

    plain = Remedy(
        name="plain",
        arguments={},
        keeps_integers=True,
        repairs_accuracy=False,
        calibrates=integer,
        helps="nothing special was needed",
        refinable=scheme == "int8",
    )
    rungs = [plain]
    if free_batch:
        helps = "the free batch dimension became 1"
        rungs.append(
            rung(
                "fixed batch",
                helps,
                {},
                integers=True,
                accuracy=False,
                calibrates=False,
                refinable=scheme == "int8",
            )
        )
    if integer:
        helps = "every recurrent layer was unrolled over its timesteps"
        rungs.append(
            rung(
                "unrolled",
                helps,
                {"unroll_all": True},
                integers=True,
                accuracy=True,
                calibrates=True,
                refinable=scheme == "int8",
            )
        )
        helps = "the converter's former quantizer was used"
        rungs.append(
            rung(
                "old quantizer",
                helps,
                {"old_quantizer": True},
                integers=True,
                accuracy=False,
                calibrates=True,
            )
        )
        helps = "ops without an integer kernel stayed float"
        rungs.append(
            rung(
                "float where needed",
                helps,
                {"float_ops": True},
                integers=False,
                accuracy=False,
                calibrates=True,
            )
        )
    if scheme == "int8":
        helps = "element-wise ops that need more than eight bits stayed float"
        kinds: dict[str, Json] = {"float_ops": True, "float_kinds": list(ELEMENTWISE)}
        rungs.append(rung("float element-wise", helps, kinds, integers=False, accuracy=True, calibrates=True))
        rungs.append(
            Remedy(
                name="single layers in float",
                arguments={},
                keeps_integers=False,
                repairs_accuracy=True,
                calibrates=True,
                helps="the layers that lose most stayed float",
                spares=True,
            )
        )
    if integer:
        helps = "weights are int8, activations are float; inputs and outputs are float32"
        rungs.append(
            rung(
                "dynamic range", helps, {"scheme": "dynamic"}, integers=False, accuracy=True, calibrates=False
            )
        )
    if scheme != "float32":
        helps = "nothing is quantized"
        rungs.append(
            rung("float", helps, {"scheme": "float32"}, integers=False, accuracy=True, calibrates=False)
        )
    return tuple(rungs)
