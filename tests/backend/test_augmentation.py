"""Pictures shown mirrored or shifted: others each time, the same in every run, and nothing else touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepack.backend.augmentation import Augmentation

pytestmark = pytest.mark.tensorflow
IMAGES = np.random.default_rng(0).normal(size=(200, 5, 6, 2)).astype(np.float32)
NUMBERS = np.arange(200, dtype=np.float32)[:, None]


def shown(step: int, **settings: Any) -> np.ndarray:
    import tensorflow as tf

    given = {"image": tf.constant(IMAGES), "number": tf.constant(NUMBERS)}
    found = Augmentation(seed=7, **settings)(given, step)
    assert np.array_equal(np.asarray(found["number"]), NUMBERS)
    pictures = np.asarray(found["image"])
    assert np.array_equal(pictures, np.asarray(Augmentation(seed=7, **settings)(given, step)["image"]))
    return pictures


def test_about_half_of_the_pictures_are_mirrored_and_others_each_time() -> None:
    turned = []
    for step in (1, 2):
        pictures = shown(step, mirror=True)
        flipped = (pictures == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
        assert ((pictures == IMAGES).all(axis=(1, 2, 3)) ^ flipped).all() and 70 < flipped.sum() < 130
        turned.append(flipped)
    assert not np.array_equal(*turned)


def test_pictures_are_moved_every_way_and_filled_by_reflection() -> None:
    pictures = shown(3, shift=2)
    wider = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), "symmetric")
    seen = set()
    for wide, picture in zip(wider, pictures, strict=True):
        places = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if np.array_equal(wide[down : down + 5, right : right + 6], picture)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25
    assert not np.array_equal(pictures, shown(4, shift=2))


def test_whole_numbers_such_as_ids_stay_what_they_are() -> None:
    import tensorflow as tf

    ids = tf.constant(np.arange(48).reshape(2, 4, 3, 2))
    found = Augmentation(mirror=True, shift=1)({"ids": ids}, 1)
    assert found["ids"] is ids


def test_what_cannot_be_shown_so_is_refused() -> None:
    import tf_keras

    from edgepack import errors

    def model(*shape: int) -> Any:
        return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=shape)])

    Augmentation(shift=5).require_pictures(model(5, 6, 1))
    with pytest.raises(errors.RecipeError, match=r"shift = 6: the pictures of input .* are 5 pixels"):
        Augmentation(shift=6).require_pictures(model(5, 6, 1))
    with pytest.raises(errors.RecipeError, match="no input of the model is a float tensor"):
        Augmentation(mirror=True).require_pictures(model(30))
