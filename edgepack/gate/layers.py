"""The layers that edgepack rebuilds: for each, which settings it takes and how they are called in tf_keras.

Pure data. A class that is not in `LAYERS` is refused; so is a setting that is neither listed nor known to have no effect
on the model's outputs (`NO_EFFECT`): what is not understood is not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class LayerRule:
    """How one layer class is rebuilt.

    Attributes:
      keys: settings taken over under their own name.
      kind: tf_keras class, where it is named differently.
      renames: settings that tf_keras calls differently.
      defaults: values where the file says nothing: those of the Keras that wrote such files.
      only: settings that have a meaning edgepack cannot keep, with the harmless values.
      nested: settings that hold other layers.
      minor: settings of no effect on this layer's output when predicting.
    """

    keys: tuple[str, ...] = ()
    kind: str | None = None
    renames: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    only: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    nested: tuple[str, ...] = ()
    minor: tuple[str, ...] = ()


NO_EFFECT: Final = frozenset(
    {
        "activity_regularizer",
        "autocast",
        "batch_input_shape",
        "batch_shape",
        "build_config",
        "dtype",
        "implementation",
        "input_dtype",
        "input_shape",
        "lora_alpha",
        "name",
        "seed",
        "trainable",
        "use_cudnn",
        "weights",
    }
)
"""Settings without effect on what a layer computes (dtype: everything is rebuilt in float32)."""

NO_EFFECT_ENDINGS: Final = ("_initializer", "_regularizer", "_constraint")

NEVER: Final[dict[str, str]] = {
    "lora_rank": "has LoRA weights; merge them into the kernels (kernel + A @ B) and save the model again",
    "quantization_mode": "is already quantized by Keras; start from the float model, edgepack quantizes at the end",
    "quantization_config": "is already quantized by Keras; start from the float model, edgepack quantizes at the end",
    "gptq_unpacked_column_size": "is already quantized by Keras (GPTQ); start from the float model",
}
"""Settings that, when set, refuse the layer."""

_CONV = (
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "activation",
    "use_bias",
)
_SEPARABLE = (*_CONV, "depth_multiplier")
_DEPTHWISE = tuple(key for key in _SEPARABLE if key != "filters")
_POOL = ("pool_size", "strides", "padding", "data_format")
_RNN = ("units", "activation", "use_bias", "dropout", "recurrent_dropout",
        "return_sequences", "return_state", "go_backwards", "unroll", "zero_output_for_mask")  # fmt: skip
_CELL = ("units", "activation", "use_bias", "dropout", "recurrent_dropout")
_STATE: dict[str, tuple[Any, ...]] = {"stateful": (False, None)}
_STOCK_RNN_ONLY: dict[str, tuple[Any, ...]] = {**_STATE, "time_major": (False, None)}
_RNN_ONLY: dict[str, tuple[Any, ...]] = {**_STOCK_RNN_ONLY, "zero_output_for_mask": (False, None)}
_CONV_RNN = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
             "recurrent_activation", "use_bias", "unit_forget_bias", "dropout", "recurrent_dropout",
             "return_sequences", "return_state", "go_backwards")  # fmt: skip
_NOT_SPARSE: dict[str, tuple[Any, ...]] = {"sparse": (False, None)}


LAYERS: Final[dict[str, LayerRule]] = {
    # Input and shape
    "InputLayer": LayerRule(),
    "Flatten": LayerRule(keys=("data_format",)),
    "Reshape": LayerRule(keys=("target_shape",)),
    "Permute": LayerRule(keys=("dims",)),
    "RepeatVector": LayerRule(keys=("n",)),
    "Cropping1D": LayerRule(keys=("cropping",)),
    "Cropping2D": LayerRule(keys=("cropping", "data_format")),
    "Cropping3D": LayerRule(keys=("cropping", "data_format")),
    "ZeroPadding1D": LayerRule(keys=("padding",), minor=("data_format",)),
    "ZeroPadding2D": LayerRule(keys=("padding", "data_format")),
    "ZeroPadding3D": LayerRule(keys=("padding", "data_format")),
    "UpSampling1D": LayerRule(keys=("size",)),
    "UpSampling2D": LayerRule(keys=("size", "data_format", "interpolation")),
    "UpSampling3D": LayerRule(keys=("size", "data_format")),
    "Identity": LayerRule(kind="Activation", defaults={"activation": "linear"}),
    "Masking": LayerRule(keys=("mask_value",)),
    # Weighted
    "Dense": LayerRule(keys=("units", "activation", "use_bias")),
    "EinsumDense": LayerRule(keys=("equation", "output_shape", "activation", "bias_axes")),
    "Embedding": LayerRule(
        keys=("input_dim", "output_dim", "mask_zero"), minor=("input_length", "dropout"), only=_NOT_SPARSE
    ),
    "Conv1D": LayerRule(keys=(*_CONV, "groups")),
    "Conv2D": LayerRule(keys=(*_CONV, "groups")),
    "Conv3D": LayerRule(keys=(*_CONV, "groups")),
    "Conv1DTranspose": LayerRule(keys=(*_CONV, "output_padding"), only={"groups": (1, None)}),
    "Conv2DTranspose": LayerRule(keys=(*_CONV, "output_padding"), only={"groups": (1, None)}),
    "Conv3DTranspose": LayerRule(keys=(*_CONV, "output_padding"), only={"groups": (1, None)}),
    "DepthwiseConv1D": LayerRule(keys=_DEPTHWISE, minor=("groups", "filters")),
    "DepthwiseConv2D": LayerRule(keys=_DEPTHWISE, minor=("groups", "filters")),
    "SeparableConv1D": LayerRule(keys=_SEPARABLE, minor=("groups",)),
    "SeparableConv2D": LayerRule(keys=_SEPARABLE, minor=("groups",)),
    "LocallyConnected1D": LayerRule(
        keys=("filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias", "implementation")
    ),
    "LocallyConnected2D": LayerRule(
        keys=("filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias", "implementation")
    ),
    # Activations
    "Activation": LayerRule(keys=("activation",)),
    "ReLU": LayerRule(keys=("max_value", "negative_slope", "threshold")),
    "LeakyReLU": LayerRule(keys=("alpha",), renames={"negative_slope": "alpha"}),
    "ELU": LayerRule(keys=("alpha",)),
    "PReLU": LayerRule(keys=("shared_axes",)),
    "ThresholdedReLU": LayerRule(keys=("theta",)),
    "Softmax": LayerRule(keys=("axis",)),
    # Normalization
    "BatchNormalization": LayerRule(
        keys=("axis", "momentum", "epsilon", "center", "scale"),
        minor=("fused", "synchronized", "mode", "renorm_clipping", "renorm_momentum", "adjustment"),
        only={"renorm": (False, None), "virtual_batch_size": (None,)},
    ),
    "LayerNormalization": LayerRule(
        keys=("axis", "epsilon", "center", "scale"), only={"rms_scaling": (False, None)}
    ),
    "GroupNormalization": LayerRule(keys=("groups", "axis", "epsilon", "center", "scale")),
    "UnitNormalization": LayerRule(keys=("axis",)),
    "RMSNormalization": LayerRule(keys=("axis", "epsilon")),
    "LayerScale": LayerRule(keys=("projection_dim",), minor=("init_values",)),
    # Pooling
    **{f"{pool}Pooling{rank}D": LayerRule(keys=_POOL) for pool in ("Max", "Average") for rank in (1, 2, 3)},
    **{
        f"Global{pool}Pooling{rank}D": LayerRule(keys=("data_format", "keepdims"))
        for pool in ("Max", "Average")
        for rank in (1, 2, 3)
    },
    # Merging
    "Add": LayerRule(),
    "Subtract": LayerRule(),
    "Multiply": LayerRule(),
    "Average": LayerRule(),
    "Maximum": LayerRule(),
    "Minimum": LayerRule(),
    "Concatenate": LayerRule(keys=("axis",)),
    "Dot": LayerRule(keys=("axes", "normalize")),
    # Attention
    "Attention": LayerRule(keys=("use_scale", "score_mode", "dropout"), minor=("causal",)),
    "AdditiveAttention": LayerRule(keys=("use_scale", "dropout"), minor=("causal",)),
    "MultiHeadAttention": LayerRule(
        keys=("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes"),
        minor=("query_shape", "key_shape", "value_shape", "flash_attention"),
        only={"use_gate": (False, None), "sliding_window": (None,)},
    ),
    # Recurrent
    "SimpleRNN": LayerRule(keys=_RNN, only=_STOCK_RNN_ONLY),
    "LSTM": LayerRule(
        keys=(*_RNN, "recurrent_activation", "unit_forget_bias"), only=_STOCK_RNN_ONLY
    ),
    "GRU": LayerRule(
        keys=(*_RNN, "recurrent_activation", "reset_after"),
        defaults={"reset_after": False},
        only=_STOCK_RNN_ONLY,
    ),
    "SimpleRNNCell": LayerRule(keys=_CELL),
    "LSTMCell": LayerRule(keys=(*_CELL, "recurrent_activation", "unit_forget_bias")),
    "GRUCell": LayerRule(keys=(*_CELL, "recurrent_activation", "reset_after"), defaults={"reset_after": False}),
    "StackedRNNCells": LayerRule(nested=("cells",), minor=("reverse_state_order",)),
    "RNN": LayerRule(
        keys=("return_sequences", "return_state", "go_backwards", "unroll"),
        nested=("cell",),
        minor=("num_constants",),
        only=_RNN_ONLY,
    ),
    "ConvLSTM1D": LayerRule(keys=_CONV_RNN, only=_RNN_ONLY, minor=("unroll",)),
    "ConvLSTM2D": LayerRule(keys=_CONV_RNN, only=_RNN_ONLY, minor=("unroll",)),
    "ConvLSTM3D": LayerRule(keys=_CONV_RNN, only=_RNN_ONLY, minor=("unroll",)),
    "Bidirectional": LayerRule(
        keys=("merge_mode",), nested=("layer", "backward_layer"), only={**_STATE, "zero_output_for_mask": (False, None)},
        minor=("return_sequences", "return_state", "go_backwards", "num_constants", "input_spec"),
    ),
    "TimeDistributed": LayerRule(nested=("layer",)),
    # Regularization: identity when predicting, kept so that fine-tuning still has it
    "Dropout": LayerRule(keys=("rate", "noise_shape")),
    "SpatialDropout1D": LayerRule(keys=("rate",), minor=("noise_shape",)),
    "SpatialDropout2D": LayerRule(keys=("rate", "data_format"), minor=("noise_shape",)),
    "SpatialDropout3D": LayerRule(keys=("rate", "data_format"), minor=("noise_shape",)),
    "AlphaDropout": LayerRule(keys=("rate", "noise_shape")),
    "GaussianDropout": LayerRule(keys=("rate",)),
    "GaussianNoise": LayerRule(keys=("stddev",)),
    # Preprocessing that TFLite can run
    "Rescaling": LayerRule(keys=("scale", "offset")),
    "Normalization": LayerRule(keys=("axis", "mean", "variance", "invert")),
    "Resizing": LayerRule(
        keys=("height", "width", "interpolation", "crop_to_aspect_ratio"),
        minor=("fill_mode", "fill_value"),
        only={"pad_to_aspect_ratio": (False, None), "antialias": (False, None)},
    ),
    "CenterCrop": LayerRule(keys=("height", "width")),
    "Discretization": LayerRule(
        keys=("bin_boundaries", "output_mode"), minor=("epsilon", "num_bins"), only=_NOT_SPARSE
    ),
    "CategoryEncoding": LayerRule(keys=("num_tokens", "output_mode"), only=_NOT_SPARSE),
}  # fmt: skip

SAME: Final[dict[str, str]] = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "CuDNNGRU": "CuDNNGRU",
    "CuDNNLSTM": "CuDNNLSTM",
    "GRUV2": "GRU",
    "LSTMV2": "LSTM",
    "LayerNormalizationV2": "LayerNormalization",
    "InputLayerV2": "InputLayer",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3DTranspose": "Conv3DTranspose",
}
"""Other names of the same class."""

TRAINING_ONLY: Final[dict[str, str]] = {
    **dict.fromkeys(
        """
AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomWidth RandomZoom
""".split(),  # noqa: SIM905
        "random augmentation acts in training only",
    ),
    "StochasticDepth": "stochastic depth acts in training only",
    "ActivityRegularization": "a penalty in training, the identity otherwise",
}
"""Layers that are the identity when predicting and are left out, with the reason."""

_STRINGS: Final = "works on strings or hash tables, which built-in TFLite operations cannot do"

REFUSED: Final[dict[str, str]] = {
    "Lambda": "is Python code inside the model file, which is never run; replace it by a Keras layer or keras.ops calls "
    'in a functional model, or write it as a layer class and name it under [model] custom = ["module:Class"]',
    "TFSMLayer": "wraps a SavedModel that is not in the file; use the Keras model it was exported from",
    "TorchModuleWrapper": "wraps PyTorch code; convert the PyTorch model itself (litert-torch makes a .tflite from it)",
    "JaxLayer": "wraps JAX code; rebuild the model from Keras layers",
    "FlaxLayer": "wraps JAX code; rebuild the model from Keras layers",
    "StringLookup": f"{_STRINGS}; look the strings up before the model and give it integer ids",
    "IntegerLookup": f"{_STRINGS}; map the values to ids before the model",
    "TextVectorization": f"{_STRINGS}; tokenize before the model and give it integer ids",
    "Hashing": f"{_STRINGS}; hash before the model and give it integer ids",
    "HashedCrossing": f"{_STRINGS}; cross and hash before the model and give it integer ids",
    "SpectralNormalization": "keeps its kernel inside a training-time wrapper; replace it by the wrapped layer with the "
    "normalized kernel (wrapper.layer) and save the model again",
    "GroupQueryAttention": "has no tf_keras counterpart; use MultiHeadAttention with as many key/value heads as heads",
    "ReversibleEmbedding": "has no tf_keras counterpart; use Embedding, and Dense for the way back",
    "MelSpectrogram": "needs an FFT, which is better done before the model; feed the spectrogram",
    "STFTSpectrogram": "needs an FFT, which is better done before the model; feed the spectrogram",
    "CuDNNLSTM": "is the GPU-only form of LSTM; load it in Keras 2, copy the weights into an LSTM, save that model",
    "CuDNNGRU": "is the GPU-only form of GRU; load it in Keras 2, copy the weights into a GRU(reset_after=True), save that",
    "DenseFeatures": "reads feature columns; replace them by inputs and Normalization, Discretization or Embedding layers",
    "PruneLowMagnitude": "is a TF-MOT training wrapper; save tfmot.sparsity.keras.strip_pruning(model)",
    "ClusterWeights": "is a TF-MOT training wrapper; save tfmot.clustering.keras.strip_clustering(model)",
    "QuantizeWrapper": "is a TF-MOT quantization-aware wrapper; start from the float model",
    "QuantizeWrapperV2": "is a TF-MOT quantization-aware wrapper; start from the float model",
    "QuantizeLayer": "is a TF-MOT quantization-aware layer; start from the float model",
    **dict.fromkeys(
        [f"Adaptive{pool}Pooling{rank}D" for pool in ("Average", "Max") for rank in (1, 2, 3)],
        "has no tf_keras counterpart; use an ordinary pooling layer with the pool size this input needs",
    ),
    **dict.fromkeys(
        [
            "AutoContrast",
            "ContrastLimitedAdaptiveHistogramEqualization",
            "Equalization",
            "MaxNumBoundingBoxes",
            "Pipeline",
            "Solarization",
            "RandomCrop",
        ],
        "changes images in a way that tf_keras has no layer for; do it before the model",
    ),
}
"""Layers refused by name, with what to do."""
