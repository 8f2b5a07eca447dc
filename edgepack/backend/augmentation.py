"""Pictures shown differently each time: mirrored, shifted. A teacher sees what its student sees.

Source: Beyer et al. (2022), "Knowledge distillation: a good teacher is patient and consistent", arXiv 2106.05237: both
models get the same view of every picture, and views of many kinds stand in for more data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepack import errors


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What happens to every input [batch, height, width, channels]; other inputs stay as they are.

    Attributes:
      mirror: about half of the samples are shown mirrored left to right.
      shift: pictures are moved by up to this many pixels, down or up and to either side; what is uncovered shows the
        picture reflected at its edge.
      seed: of all draws; each step has its own, the same for every picture of a sample.
    """

    mirror: bool = False
    shift: int = 0
    seed: int = 0

    def require_pictures(self, model: Any) -> None:
        """Nothing, where the model takes pictures that can be shown so.

        Raises:
          RecipeError: no input is a picture, or one is smaller than the shift.
        """
        pictures = [tensor for tensor in model.inputs if tensor.shape.rank == 4 and tensor.dtype.is_floating]
        if not pictures:
            raise errors.RecipeError(
                "[stage.train] mirror and shift are for pictures; no input of the model is a float tensor "
                "[height, width, channels]: remove them"
            )
        for tensor in pictures:
            sides = [side for side in tensor.shape[1:3] if side is not None]
            if sides and self.shift > min(sides):
                raise errors.RecipeError(
                    f"[stage.train] shift = {self.shift}: the pictures of input {tensor.name!r} are {min(sides)} pixels "
                    "wide or high; give less"
                )

    def __call__(self, inputs: Mapping[str, Any], step: Any) -> dict[str, Any]:
        """The inputs as update number `step` (int64) sees them; floating-point values."""
        return {
            name: self._shown(tensor, step) if tensor.shape.rank == 4 and tensor.dtype.is_floating else tensor
            for name, tensor in inputs.items()
        }

    def _shown(self, pictures: Any, step: Any) -> Any:
        import tensorflow as tf

        count = tf.shape(pictures)[0]
        if self.mirror:
            turned = self._drawn(0, step, [count, 1, 1, 1]) < 0.5
            pictures = tf.where(turned, tf.reverse(pictures, [2]), pictures)
        if self.shift:
            for axis in (1, 2):
                pictures = self._moved(pictures, axis, self._drawn(axis, step, [count]))
        return pictures

    def _moved(self, pictures: Any, axis: int, draw: Any) -> Any:
        import tensorflow as tf

        size = tf.shape(pictures)[axis]
        borders = [[self.shift, self.shift] if axis == each else [0, 0] for each in range(4)]
        wider = tf.pad(pictures, borders, "SYMMETRIC")
        first = tf.cast(tf.floor(draw * (2 * self.shift + 1)), tf.int32)
        return tf.gather(wider, first[:, None] + tf.range(size)[None], axis=axis, batch_dims=1)

    def _drawn(self, kind: int, step: Any, shape: Any) -> Any:
        """Uniform in [0, 1); every kind has its own sequence."""
        import tensorflow as tf

        return tf.random.stateless_uniform(shape, [self.seed ^ kind << 20, tf.cast(step, tf.int32)])
