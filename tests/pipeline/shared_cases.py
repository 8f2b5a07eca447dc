"""Post-training recipes for the real models: path, data, metric and the budget that each must meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One real model with its evaluation.

    Attributes:
      calibration, evaluation: the body of the data tables; ``{models}`` is the folder of the models.
    """

    name: str
    model: str
    calibration: str
    evaluation: str
    metric: str = "top1"
    preprocess: str = ""
    max_drop: float = 0.005

    def recipe(self, models: Path) -> str:
        """The recipe's text."""
        return f"""
edgepack = 1
name = "{self.name}"
version = "1.0.0"
[model]
path = "{models / self.model}"
[data.calibration]
{self.calibration.format(models=models)}
[data.evaluation]
{self.evaluation.format(models=models)}
[preprocess]
{self.preprocess}
[metric]
name = "{self.metric}"
[quantize]
scheme = "int8"
[budget]
max_drop = {self.max_drop}
"""


def arrays(folder: str, name: str, inputs: str = '"x"') -> str:
    return f'path = "{{models}}/{folder}/{name}.npz"\ninputs = {inputs}\nlabels = "y"'


MNIST = (
    'path = "{models}/mnist_cnn_keras3/t10k-images-idx3-ubyte.gz"\n'
    'labels_path = "{models}/mnist_cnn_keras3/t10k-labels-idx1-ubyte.gz"\n'
)
IDS = '{{ input_1 = "x_char", input_2 = "x_type" }}'

CASES = (
    Case(
        name="mnist-keras",
        model="mnist_cnn_keras3/mnist_model.keras",
        calibration=MNIST + "count = 200",
        evaluation=MNIST + "start = 200",
        preprocess="scale = 0.00392156862745098",
    ),
    Case(
        name="mnist-h5",
        model="mnist_cnn_keras3/mnist_model.h5",
        calibration=MNIST + "count = 200",
        evaluation=MNIST + "start = 200",
        preprocess="scale = 0.00392156862745098",
    ),
    Case(
        name="dscnn-saved-model",
        model="kws_dscnn/kws_ref_model",
        calibration=arrays("kws_dscnn", "calib"),
        evaluation=arrays("kws_dscnn", "test"),
        max_drop=0.01,
    ),
    Case(
        name="dscnn-h5",
        model="kws_dscnn/dscnn.h5",
        calibration=arrays("kws_dscnn", "calib"),
        evaluation=arrays("kws_dscnn", "test"),
        max_drop=0.01,
    ),
    Case(
        name="resnet8",
        model="ic_resnet8/pretrainedResnet.h5",
        calibration=arrays("ic_resnet8", "calib"),
        evaluation=arrays("ic_resnet8", "test_jpg"),
    ),
    Case(
        name="har",
        model="har_conv1d_st/model.h5",
        calibration=arrays("har_conv1d_st", "calib"),
        evaluation=arrays("har_conv1d_st", "test"),
    ),
    Case(
        name="masking-lstm",
        model="mhc_lstm_masking/HLA-A03_01_full.h5",
        calibration=arrays("mhc_lstm_masking", "calib"),
        evaluation=arrays("mhc_lstm_masking", "test"),
        metric="auc",
    ),
    Case(
        name="thai-two-inputs",
        model="thai_deepcut_2input/deepcut_full.h5",
        calibration=arrays("thai_deepcut_2input", "calib", IDS),
        evaluation=arrays("thai_deepcut_2input", "test", IDS),
        metric="f1",
        max_drop=0.01,
    ),
)
REFUSED = ("thai_deepcut_2input/cnn_without_ne_ab.h5", "mhc_lstm_masking/HLA-A03_01_BA.weights_only.h5")
