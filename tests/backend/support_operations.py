"""Operations between layers, one expression each: `keras.ops` for Keras 3, `tensorflow` for Keras 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

VECTOR, STEPS, IMAGE = (6,), (7, 4), (8, 9, 4)
Row = tuple[str, tuple[Any, ...], Callable[[Any, Any], Any], str]


def _rows(
    table: dict[str, Callable[[Any, Any], Any]], shapes: tuple[Any, ...], values: str = "normal"
) -> list[Row]:
    return [(name, shapes, build, values) for name, build in table.items()]


OPERATIONS_3: list[Row] = [
    *_rows(
        {
            "x + 1": lambda o, x: x + 1,
            "1 - x": lambda o, x: 1.0 - x,
            "2 * x / 3": lambda o, x: 2 * x / 3,
            "-x": lambda o, x: -x,
            "abs(x)": lambda o, x: abs(x),
            "x ** 2": lambda o, x: x**2,
            "x % 2": lambda o, x: x % 2.0,
            "x // 2": lambda o, x: x // 2.0,
            "comparisons, where": lambda o, x: o.where(o.logical_and(x > 0, x <= 1), x, 0.0),
            "x[:, 1:, ..., ::2]": lambda o, x: x[:, 1:, ..., ::2],
            "x[:, 0]": lambda o, x: x[:, 0],
            "x[:, None, -1]": lambda o, x: x[:, None, -1],
            "add, multiply by tensors": lambda o, x: o.add(x, o.multiply(x, x)),
            "any, all": lambda o, x: o.cast(
                o.logical_or(o.any(x > 3, axis=-1), o.all(x > -1, axis=-1)), "float32"
            ),
            "arctan": lambda o, x: o.arctan(x),
            "argmax": lambda o, x: o.argmax(x, axis=-1),
            "argmin": lambda o, x: o.argmin(x, axis=1),
            "convert_to_tensor": lambda o, x: o.cast(o.convert_to_tensor(x > 0), "float32"),
            "average_pool": lambda o, x: o.average_pool(x, 2, padding="same"),
            "cast": lambda o, x: o.cast(o.cast(x, "int32"), "float32"),
            "ceil, floor": lambda o, x: o.ceil(x) - o.floor(x),
            "celu": lambda o, x: o.celu(x, 0.7),
            "clip": lambda o, x: o.clip(x, -1, 1.5),
            "concatenate": lambda o, x: o.concatenate([x, -x], axis=-1),
            "cos, sin, tan": lambda o, x: o.cos(x) + o.sin(x) + o.tan(x / 4),
            "cumsum": lambda o, x: o.cumsum(x, axis=1),
            "depth_to_space": lambda o, x: o.nn.depth_to_space(x, 2),
            "einsum": lambda o, x: o.einsum("bhwc,bhvc->bhwv", x, x),
            "einsum (two axes summed)": lambda o, x: o.einsum("bhwc,bvwc->bhv", x, x),
            "einsum (one operand)": lambda o, x: o.einsum("bhwc->bcw", x),
            "elu": lambda o, x: o.elu(x),
            "erf": lambda o, x: o.erf(x),
            "exp, expm1": lambda o, x: o.exp(x) + o.expm1(x),
            "expand_dims": lambda o, x: o.expand_dims(x, 1),
            "flip": lambda o, x: o.flip(x, axis=2),
            "gelu": lambda o, x: o.gelu(x, approximate=False),
            "gelu (tanh)": lambda o, x: o.gelu(x, approximate=True),
            "glu": lambda o, x: o.glu(x),
            "hard_sigmoid, hard_silu, hard_tanh": lambda o, x: (
                o.hard_sigmoid(x) + o.hard_silu(x) + o.hard_tanh(x)
            ),
            "hard_shrink, soft_shrink, tanh_shrink": lambda o, x: (
                o.hard_shrink(x, 0.3) + o.soft_shrink(x, 0.4) + o.tanh_shrink(x)
            ),
            "leaky_relu": lambda o, x: o.leaky_relu(x, 0.11),
            "log_sigmoid, log_softmax": lambda o, x: o.log_sigmoid(x) + o.log_softmax(x),
            "logsumexp": lambda o, x: o.logsumexp(x, axis=-1, keepdims=True),
            "matmul": lambda o, x: o.matmul(x, o.transpose(x, (0, 1, 3, 2))),
            "max, min": lambda o, x: o.max(x, axis=1) - o.min(x, axis=1),
            "max_pool": lambda o, x: o.max_pool(x, 2),
            "maximum, minimum": lambda o, x: o.maximum(x, 0) + o.minimum(x, -x),
            "mean": lambda o, x: o.mean(x, axis=(1, 2), keepdims=True),
            "moveaxis": lambda o, x: o.moveaxis(x, 1, -1),
            "norm": lambda o, x: o.norm(x, axis=-1),
            "normalize": lambda o, x: o.normalize(x, axis=-1),
            "ones_like, zeros_like": lambda o, x: o.ones_like(x) + o.zeros_like(x) + x,
            "pad": lambda o, x: o.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
            "pad (reflect)": lambda o, x: o.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), mode="reflect"),
            "prod": lambda o, x: o.prod(x, axis=-1),
            "ravel of a sample": lambda o, x: o.reshape(x, (-1, 288)),
            "reciprocal": lambda o, x: o.reciprocal(x + 20.0),
            "relu, relu6": lambda o, x: o.relu(x) + o.relu6(3 * x),
            "repeat": lambda o, x: o.repeat(x, 2, axis=1),
            "resize": lambda o, x: o.image.resize(x, (5, 11)),
            "resize (nearest)": lambda o, x: o.image.resize(x, (16, 18), interpolation="nearest"),
            "roll": lambda o, x: o.roll(x, 2, axis=1),
            "selu, silu, softplus, softsign": lambda o, x: (
                o.selu(x) + o.silu(x) + o.softplus(x) + o.softsign(x)
            ),
            "sigmoid, tanh": lambda o, x: o.sigmoid(x) * o.tanh(x),
            "sign, square": lambda o, x: o.sign(x) * o.square(x),
            "slice": lambda o, x: o.slice(x, [0, 1, 0, 2], [4, 3, 2, 2]) if x.shape[0] else x[:, 1:4],
            "softmax": lambda o, x: o.softmax(x, axis=-1),
            "space_to_depth": lambda o, x: o.nn.space_to_depth(x[:, :, :8], 2),
            "sparse_plus, sparse_sigmoid, squareplus": lambda o, x: (
                o.sparse_plus(x) + o.sparse_sigmoid(x) + o.squareplus(x)
            ),
            "split": lambda o, x: o.split(x, 2, axis=-1),
            "split (indices)": lambda o, x: o.split(x, [1, 4], axis=1),
            "squeeze": lambda o, x: o.squeeze(x[:, :1], axis=1),
            "stack": lambda o, x: o.stack([x, 2 * x], axis=1),
            "std, var": lambda o, x: o.std(x, axis=1) + o.var(x, axis=1),
            "stop_gradient": lambda o, x: o.stop_gradient(x),
            "sum": lambda o, x: o.sum(x, axis=-1),
            "swapaxes": lambda o, x: o.swapaxes(x, 1, 2),
            "take": lambda o, x: o.take(x, [0, 2, -1], axis=1),
            "threshold": lambda o, x: o.nn.threshold(x, 0.2, 0.0),
            "tile": lambda o, x: o.tile(x, (1, 2, 1, 1)),
            "top_k": lambda o, x: o.top_k(x, 2),
            "transpose": lambda o, x: o.transpose(x, (0, 3, 1, 2)),
            "unstack": lambda o, x: o.unstack(x, axis=-1),
        },
        (IMAGE,),
    ),
    *_rows(
        {
            "log, log1p, log2, log10": lambda o, x: o.log(x) + o.log1p(x) + o.log2(x) + o.log10(x),
            "sqrt, rsqrt": lambda o, x: o.sqrt(x) + o.rsqrt(x),
            "power": lambda o, x: o.power(x, 1.7),
            "arcsin, arccos": lambda o, x: o.arcsin(x) - o.arccos(x),
        },
        (IMAGE,),
        "positive",
    ),
    *_rows({"one_hot": lambda o, x: o.one_hot(o.cast(x, "int32"), 10)}, ((5,),), "ids"),
    *_rows({"dot of tensors": lambda o, x: o.matmul(x[0], o.transpose(x[1], (0, 2, 1)))}, (STEPS, STEPS)),
]

OPERATIONS_2: list[Row] = [
    *_rows(
        {
            "x + 1": lambda tf, x: x + 1,
            "1 - x": lambda tf, x: 1.0 - x,
            "2 * x / 3": lambda tf, x: 2 * x / 3,
            "-x": lambda tf, x: -x,
            "x ** 2": lambda tf, x: x**2,
            "x[:, 1:, ..., ::2]": lambda tf, x: x[:, 1:, ..., ::2],
            "x[:, 0]": lambda tf, x: x[:, 0],
            "x[:, tf.newaxis]": lambda tf, x: x[:, tf.newaxis],
            "abs, exp, square": lambda tf, x: tf.abs(x) + tf.exp(x) + tf.square(x),
            "argmax": lambda tf, x: tf.argmax(x, axis=-1),
            "cast": lambda tf, x: tf.cast(tf.cast(x, tf.int32), tf.float32),
            "clip_by_value": lambda tf, x: tf.clip_by_value(x, -1.0, 1.0),
            "concat": lambda tf, x: tf.concat([x, -x], axis=-1),
            "depth_to_space": lambda tf, x: tf.nn.depth_to_space(x, 2),
            "expand_dims, squeeze": lambda tf, x: tf.squeeze(tf.expand_dims(x, 1), 1),
            "gather": lambda tf, x: tf.gather(x, [0, 2], axis=1),
            "image.resize": lambda tf, x: tf.image.resize(x, (5, 11)),
            "l2_normalize": lambda tf, x: tf.nn.l2_normalize(x, axis=-1),
            "leaky_relu": lambda tf, x: tf.nn.leaky_relu(x, 0.11),
            "matmul": lambda tf, x: tf.matmul(x, x, transpose_b=True),
            "maximum, minimum": lambda tf, x: tf.maximum(x, 0.0) + tf.minimum(x, -x),
            "pad": lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 1]]),
            "reduce_max": lambda tf, x: tf.reduce_max(x, axis=1),
            "reduce_mean": lambda tf, x: tf.reduce_mean(x, axis=[1, 2], keepdims=True),
            "reduce_sum": lambda tf, x: tf.reduce_sum(x, axis=-1),
            "relu, relu6, selu, elu": lambda tf, x: tf.nn.relu(x) + tf.nn.relu6(x) + tf.nn.selu(x) + tf.nn.elu(x),
            "reshape": lambda tf, x: tf.reshape(x, (-1, 288)),
            "reverse": lambda tf, x: tf.reverse(x, [1]),
            "sigmoid, tanh, softplus": lambda tf, x: tf.sigmoid(x) * tf.tanh(x) + tf.nn.softplus(x),
            "softmax": lambda tf, x: tf.nn.softmax(x, axis=-1),
            "split": lambda tf, x: tf.split(x, 2, axis=-1),
            "stack": lambda tf, x: tf.stack([x, 2 * x], axis=1),
            "swish, gelu": lambda tf, x: tf.nn.swish(x) + tf.nn.gelu(x),
            "tile": lambda tf, x: tf.tile(x, (1, 2, 1, 1)),
            "transpose": lambda tf, x: tf.transpose(x, (0, 3, 1, 2)),
            "unstack": lambda tf, x: tf.unstack(x, axis=-1),
            "where": lambda tf, x: tf.where(x > 0, x, tf.zeros_like(x)),
        },
        (IMAGE,),
    ),
    *_rows({"log, sqrt, rsqrt, pow": lambda tf, x: tf.math.log(x) + tf.sqrt(x) + tf.math.rsqrt(x) + tf.pow(x, 1.7)},
           (IMAGE,), "positive"),
    *_rows({"one_hot": lambda tf, x: tf.one_hot(tf.cast(x, tf.int32), 10)}, ((5,),), "ids"),
]  # fmt: skip
