"""Training that already feels int8: TensorFlow Model Optimization's fake quantization around a model's layers.

BatchNormalization is folded first, so that what is emulated is what will be exported. TF-MOT quantizes weights and
activations in every forward pass and learns the activations' ranges; zeros and clusters are held on the float kernels
beneath by `edgepack.backend.constraints`, per channel or per layer and for every kind of layer. (TF-MOT's own
cluster-preserving schemes leave depthwise kernels out and fall back to one table per array where channels differ.)

What comes out is a stock model with the trained weights, and the learned ranges beside it: the converter's quantizer
derives the same weight grid from the weights, and gets the ranges from `edgepack.backend.learned_ranges`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgepack import errors
from edgepack.backend import tfmot
from edgepack.backend.fold import fold_batch_normalization
from edgepack.data import Dataset
from edgepack.records import Json

QUANTIZATION: Final = "python.core.quantization.keras"
"""Where TF-MOT keeps it."""
ADDED: Final = frozenset({"Conv1D"})
"""Kinds that TF-MOT's list leaves out although its settings fit them."""
RANGE_KEEPING: Final = frozenset({"linear", "relu"})
"""Activations that TF-MOT emulates and the converter fuses, so that the layer's output is the op's."""

SETTLED_ON: Final = 128
DECAY: Final = 0.99
"""Of the ranges' moving averages, per update."""


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """A model and its fake-quantized twin.

    Attributes:
      model: BatchNormalization folded, float; names of layers and outputs as in the original.
      twin: what is trained.
      emulated: names of layers that feel int8.
      notes: layers that do not, with the reason.
    """

    model: Any
    twin: Any
    emulated: tuple[str, ...]
    notes: Sequence[Mapping[str, Json]]

    def weights(self, name: str) -> list[Any]:
        """The twin's variables of a layer, in the order of the float layer's weights."""
        count = len(self.model.get_layer(name).weights)
        for layer in self.twin.layers:
            if layer.name == f"quant_{name}":  # a layer may be wrapped for its output alone
                # The wrapper hides its kernel behind the quantized one, but trains the layer's own variables first.
                trained: list[Any] = layer.trainable_weights[:count]
                return trained
        return list(self.twin.get_layer(name).weights)

    def settle(self, dataset: Dataset) -> None:
        """Starts every activation's range at what samples show; TF-MOT starts at ±6 and takes thousands of updates
        to leave it, while activations near 0 all round to 0 and nothing is learned.

        Args:
          dataset: training samples; the first `SETTLED_ON` are looked at.
        """
        samples = dataset.rows(0, min(SETTLED_ON, dataset.count))
        bound = [samples[name] for name in self.twin.input_names]
        untouched = [layer for layer in self.twin.layers if type(layer).__name__ == "BatchNormalization"]
        kept = [layer.get_weights() for layer in untouched]
        _follow(self.twin, decay=0.0)  # the ranges become those of this batch
        self.twin(bound if len(bound) > 1 else bound[0], training=True)
        _follow(self.twin, decay=DECAY)
        for layer, weights in zip(untouched, kept, strict=True):
            layer.set_weights(weights)

    def finish(self) -> dict[str, tuple[float, float]]:
        """Takes the trained weights into `model`.

        Returns:
          Keras layer or input → range learned for its output (for a softmax: for what goes into it).
        """
        for layer in self.model.layers:
            if layer.weights:
                layer.set_weights([variable.numpy() for variable in self.weights(layer.name)])
        return {**_input_ranges(self.twin), **_output_ranges(self.twin)}


def emulation(model: Any) -> Emulation:
    """Wraps what TF-MOT can emulate.

    Args:
      model: a model of `rebuild.build`; it is not changed.

    Raises:
      ModelError: no layer with weights can be emulated, or TF-MOT refuses the model; says why.
    """
    import tf_keras

    quantize = tfmot.part(f"{QUANTIZATION}.quantize")
    annotate = tfmot.part(f"{QUANTIZATION}.quantize_annotate")
    folded = fold_batch_normalization(model)
    configs, notes = _configs(folded)

    def annotated(layer: Any) -> Any:
        if layer.name not in configs:
            return layer.__class__.from_config(layer.get_config())
        copy = layer.__class__.from_config(layer.get_config())
        return annotate.QuantizeAnnotate(copy, quantize_config=configs[layer.name])

    weighted = [name for name in configs if folded.get_layer(name).weights]
    if not weighted:
        listed = "; ".join(f"{note['layer']}: {note['reason']}" for note in notes) or "it has no weights"
        raise errors.ModelError(
            f"quantization_aware = true: none of the model's layers can be trained so ({listed}); leave it out, "
            "int8 then comes from calibration alone"
        )
    try:
        with quantize.quantize_scope():
            wrapped = tf_keras.models.clone_model(folded, clone_function=annotated)
            wrapped.set_weights(folded.get_weights())
            twin = quantize.quantize_apply(wrapped)
    except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise errors.ModelError(
            f"quantization_aware = true: TF-MOT refuses the model: {reason}; leave it out"
        ) from error
    _scale_channels(twin)
    twin.output_names = folded.output_names
    twin.input_names = folded.input_names
    wrappers = {layer.name for layer in twin.layers}
    emulated = tuple(name for name in configs if f"quant_{name}" in wrappers)
    return Emulation(model=folded, twin=twin, emulated=emulated, notes=notes)


def _configs(model: Any) -> tuple[dict[str, Any], list[dict[str, Json]]]:
    """Layer → its quantization settings (None for TF-MOT's own); and why the others have none."""
    known = tfmot.part(f"{QUANTIZATION}.default_8bit.default_8bit_quantize_registry")
    registry = known.Default8BitQuantizeRegistry()
    configs: dict[str, Any] = {}
    notes: list[dict[str, Json]] = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if len(layer._inbound_nodes) > 1:
            notes.append(
                _left(layer.name, "it is called several times, and each call would need its own range")
            )
        elif kind in ADDED:
            configs[layer.name] = known.Default8BitQuantizeConfig(["kernel"], ["activation"], False)
        elif kind.startswith("Separable"):
            notes.append(_left(layer.name, "TF-MOT would split it into two layers"))
        elif registry.supports(layer) and _known_activation(layer):
            configs[layer.name] = None
        elif layer.weights or kind == "Activation":
            notes.append(_left(layer.name, f"TF-MOT cannot emulate int8 in a {kind} layer"))
    return configs, notes


def _known_activation(layer: Any) -> bool:
    """Whether TF-MOT has settings for the activation inside a layer."""
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return name in RANGE_KEEPING | {"softmax", "sigmoid", "tanh"}


def _left(layer: str, reason: str) -> dict[str, Json]:
    return {"layer": layer, "action": "left alone", "reason": f"quantization_aware: {reason}"}


def _scale_channels(twin: Any) -> None:
    """Gives every kernel one scale per output channel, as the converter does.

    TF-MOT has that for Conv2D only: with one scale for a whole depthwise kernel, into which a BatchNormalization was
    folded, most channels would round to nothing.
    """
    import tensorflow as tf

    base: Any = tfmot.part(f"{QUANTIZATION}.quantizers").LastValueQuantizer

    class PerChannel(base):
        def __init__(self, channels: int) -> None:
            super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
            self.channels = channels

        def __call__(self, inputs: Any, training: Any, weights: Mapping[str, Any], **more: Any) -> Any:
            rows = tf.reshape(inputs, [-1, self.channels])
            return tf.reshape(super().__call__(rows, training, weights, **more), inputs.shape)

    for wrapper in twin.layers:
        if not type(wrapper).__name__.startswith("QuantizeWrapper"):
            continue
        depthwise = type(wrapper.layer).__name__.startswith("Depthwise")
        scaled = []
        for weight, _, _ in wrapper._weight_vars:
            channels = int(weight.shape[-1] * (weight.shape[-2] if depthwise else 1))
            ends = {name: tf.Variable(tf.zeros(channels), trainable=False) for name in ("min_var", "max_var")}
            scaled.append((weight, PerChannel(channels), ends))
        wrapper._weight_vars = scaled


def _follow(twin: Any, *, decay: float) -> None:
    """Makes the ranges of all activations follow the batches with another decay than TF-MOT's fixed 0.999."""
    quant_ops = tfmot.part(f"{QUANTIZATION}.quant_ops")
    base: Any = tfmot.part(f"{QUANTIZATION}.quantizers").MovingAverageQuantizer

    class Following(base):
        def __call__(self, inputs: Any, training: Any, weights: Mapping[str, Any], **more: Any) -> Any:
            return quant_ops.MovingAvgQuantize(
                inputs,
                weights["min_var"],
                weights["max_var"],
                ema_decay=decay,
                is_training=training,
                num_bits=self.num_bits,
                per_channel=self.per_axis,
                symmetric=self.symmetric,
                narrow_range=self.narrow_range,
            )

    def followed(quantizer: Any) -> Any:
        if not isinstance(quantizer, base):
            return quantizer
        return Following(**quantizer.get_config())

    for layer in twin.layers:
        if getattr(layer, "quantizer", None) is not None:
            layer.quantizer = followed(layer.quantizer)
        if getattr(layer, "_output_quantizers", None):
            layer._output_quantizers = [followed(quantizer) for quantizer in layer._output_quantizers]
        for activation in getattr(layer, "_quantize_activations", ()):
            activation.quantizer = followed(activation.quantizer)


def _input_ranges(twin: Any) -> dict[str, tuple[float, float]]:
    found = {}
    for layer in twin.layers:
        if type(layer).__name__ == "QuantizeLayer" and getattr(layer, "quantizer_vars", None):
            found[layer.input._keras_history.layer.name] = _ends(layer.quantizer_vars)
    return found


def _output_ranges(twin: Any) -> dict[str, tuple[float, float]]:
    found = {}
    for wrapper in twin.layers:
        if not type(wrapper).__name__.startswith("QuantizeWrapper"):
            continue
        name = wrapper.layer.name
        if getattr(wrapper, "_output_quantizers", None):
            found[name] = _ends(wrapper._output_quantizer_vars)
        for activation in wrapper._quantize_activations:
            kind = getattr(activation.activation, "__name__", "")
            if kind in RANGE_KEEPING and activation._should_post_quantize():
                found[name] = _ends(activation._post_activation_vars)
            elif activation._should_pre_quantize():
                found[name] = _ends(activation._pre_activation_vars)
    return {name: ends for name, ends in found.items() if ends[0] < ends[1]}


def _ends(variables: Mapping[str, Any]) -> tuple[float, float]:
    """A learned range; it holds 0, as the converter's ranges do."""
    low, high = (float(variables[name].numpy()) for name in ("min_var", "max_var"))
    return min(low, 0.0), max(high, 0.0)
