"""Which weights each stock layer has, in the order in which Keras hands them out."""

from __future__ import annotations

from typing import Any, Final

Names = tuple[tuple[str, bool], ...]
"""(name of the weight, whether training changes it) in Keras order."""

_KERNEL: Final = frozenset((
    "Dense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
    "Convolution1D", "Convolution2D", "Convolution3D", "LocallyConnected1D", "LocallyConnected2D",
    "DepthwiseConv1D", "DepthwiseConv2D",
))  # fmt: skip
_SEPARABLE: Final = frozenset((
    "SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D",
))  # fmt: skip
_RECURRENT: Final = frozenset((
    "LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D",
))  # fmt: skip
_NONE: Final = frozenset((
    "InputLayer", "Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Softmax", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise",
    "AlphaDropout", "Flatten", "Reshape", "Permute", "RepeatVector", "Masking", "Identity", "Add",
    "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot", "Rescaling", "Resizing",
    "CenterCrop", "Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "UnitNormalization", "ActivityRegularization", "TFOpLambda",
    "SlicingOpLambda", "TensorFlowOpLayer",
))  # fmt: skip
_BY_FLAG: Final[dict[str, tuple[tuple[str, str | None, bool], ...]]] = {
    # class: (weight, setting that switches it on (default on), trainable)
    "BatchNormalization": (
        ("gamma", "scale", True),
        ("beta", "center", True),
        ("moving_mean", None, False),
        ("moving_variance", None, False),
    ),
    "LayerNormalization": (("gamma", "scale", True), ("beta", "center", True)),
    "GroupNormalization": (("gamma", "scale", True), ("beta", "center", True)),
    "Embedding": (("embeddings", None, True),),
    "PReLU": (("alpha", None, True),),
}


def weight_names(class_name: str, config: dict[str, Any]) -> Names | None:
    """The weights of a layer as its config in the file implies; None where only the file can tell.

    Example:
      >>> weight_names("Dense", {"use_bias": False})
      (('kernel', True),)
    """
    bias: Names = (("bias", True),) if config.get("use_bias", True) else ()
    if class_name in _NONE or class_name.startswith("Random"):
        return ()
    if class_name in _KERNEL:
        return (("kernel", True), *bias)
    if class_name in _SEPARABLE:
        return (("depthwise_kernel", True), ("pointwise_kernel", True), *bias)
    if class_name in _RECURRENT:
        return (("kernel", True), ("recurrent_kernel", True), *bias)
    if class_name == "EinsumDense":
        return (("kernel", True), ("bias", True)) if config.get("bias_axes") else (("kernel", True),)
    if class_name == "MultiHeadAttention":
        return (("kernel", True), *bias) * 4
    if class_name in _BY_FLAG:
        return tuple(
            (name, trainable)
            for name, flag, trainable in _BY_FLAG[class_name]
            if flag is None or config.get(flag, True)
        )
    return _wrapped_names(class_name, config)


def _wrapped_names(class_name: str, config: dict[str, Any]) -> Names | None:
    inner: list[Any] = [config.get(key) for key in ("layer", "cell") if isinstance(config.get(key), dict)]
    if class_name == "StackedRNNCells" and isinstance(config.get("cells"), list):
        inner = config["cells"]
    elif class_name not in ("TimeDistributed", "Bidirectional", "RNN") or len(inner) != 1:
        return None
    names: list[tuple[str, bool]] = []
    for entry in inner:
        settings = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(settings, dict):
            return None
        found = weight_names(str(entry.get("class_name")), settings)
        if found is None:
            return None
        names.extend(found)
    if class_name == "Bidirectional":
        names *= 2
    trained = [pair for pair in names if pair[1]]
    return (*trained, *(pair for pair in names if not pair[1]))
