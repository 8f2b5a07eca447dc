"""`[continuity]`: a release that is said in the numbers of the one before."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

NO_PREVIOUS: Final = (
    "{path}: no such package; [continuity] from names the release that devices have, relative to the recipe"
)


class Continuity(BaseModel):
    """`[continuity]`: keeps scales, values per channel, zeros and most integers of a previous package, so that an update is
    small. Layers that the previous package does not have are made as ever, and the ledger names them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    previous: Annotated[str, Field(min_length=1, alias="from")]
    """The previous package (.edgepack), relative to the recipe."""
    max_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.035
    """What the update should cost at most, as a share of the whole file under xz. The model is the nearest to the one
    without continuity that this has room for; twice, four and eight times as much where it loses more than `max_loss`."""
    max_loss: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.005
    """How much worse the metric may be than that of the same build without continuity; as `[budget]` max_drop."""
