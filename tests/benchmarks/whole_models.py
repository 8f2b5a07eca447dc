"""Whole int8 models to measure: the shapes of well-known nets with drawn weights, written without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgepack.tflite.handwritten import Handwritten

MOBILENET_V1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
"""Channels and stride of each separable convolution (Howard et al., 2017, table 1)."""
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and first stride of each stage (Sandler et al., 2018, table 2)."""


def made(folder: Path, shared: Path | None) -> Iterator[tuple[str, Path]]:
    """Eight models of different kinds by name; two of them, where `shared` is given, are real ones."""
    drawn = {
        "mobilenet_v1 224": mobilenet_v1(224, alpha=1.0),
        "mobilenet_v1 0.5 128": mobilenet_v1(128, alpha=0.5),
        "mobilenet_v2 160": mobilenet_v2(160),
        "resnet18 64": resnet(64, (64, 128, 256, 512), blocks=2),
        "resnet8 32": resnet(32, (16, 32, 64), blocks=1),
        "plain 48": plain(48, (32, 64, 96, 128)),
        "autoencoder": autoencoder(640, (128, 128, 128, 128, 8, 128, 128, 128, 128, 640)),
        "dscnn 24": separable(24, 64, blocks=4),
    }
    for number, (name, content) in enumerate(drawn.items()):
        path = folder / f"{number}.tflite"
        path.write_bytes(content)
        yield name, path
    for name in (
        "kws_dscnn/kws_ref_model",
        "ic_resnet8/pretrainedResnet_large_int8",
    ):
        if shared is not None and (shared / f"{name}.tflite").is_file():
            yield name.partition("/")[2], shared / f"{name}.tflite"


def mobilenet_v1(side: int, *, alpha: float) -> bytes:
    graph = Handwritten()
    at = graph.convolution(graph.input(side, side, 3), int(32 * alpha), kernel=3, stride=2)
    for channels, stride in MOBILENET_V1:
        at = graph.convolution(graph.depthwise(at, kernel=3, stride=stride), int(channels * alpha), kernel=1)
    return _classified(graph, at, 1000)


def mobilenet_v2(side: int) -> bytes:
    graph = Handwritten()
    at = graph.convolution(graph.input(side, side, 3), 32, kernel=3, stride=2)
    for expansion, channels, repeats, first in MOBILENET_V2:
        for stride in (first, *(1,) * (repeats - 1)):
            inside = graph.convolution(at, expansion * graph.shape(at)[-1], kernel=1) if expansion > 1 else at
            out = graph.convolution(graph.depthwise(inside, kernel=3, stride=stride), channels, kernel=1)
            at = graph.add(at, out) if graph.shape(at) == graph.shape(out) else out
    return _classified(graph, graph.convolution(at, 1280, kernel=1), 1000)


def resnet(side: int, widths: tuple[int, ...], *, blocks: int) -> bytes:
    graph = Handwritten()
    at = graph.convolution(graph.input(side, side, 3), widths[0], kernel=3)
    for stage, channels in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            out = graph.convolution(
                graph.convolution(at, channels, kernel=3, stride=stride), channels, kernel=3
            )
            same = graph.shape(at) == graph.shape(out)
            at = graph.add(at if same else graph.convolution(at, channels, kernel=1, stride=stride), out)
    return _classified(graph, at, 10)


def plain(side: int, widths: tuple[int, ...]) -> bytes:
    graph = Handwritten()
    at = graph.input(side, side, 3)
    for channels in widths:
        at = graph.average_pool(graph.convolution(at, channels, kernel=3), window=2)
    return graph.file(graph.softmax(graph.dense(graph.dense(graph.flatten(at), 256), 10)))


def separable(side: int, channels: int, *, blocks: int) -> bytes:
    graph = Handwritten()
    at = graph.convolution(graph.input(side, side, 1), channels, kernel=5, stride=2)
    for _ in range(blocks):
        at = graph.convolution(graph.depthwise(at, kernel=3), channels, kernel=1)
    return _classified(graph, at, 12)


def autoencoder(inputs: int, widths: tuple[int, ...]) -> bytes:
    graph = Handwritten()
    at = graph.input(inputs)
    for width in widths:
        at = graph.dense(at, width)
    return graph.file(at)


def _classified(graph: Handwritten, at: int, classes: int) -> bytes:
    pooled = graph.flatten(graph.average_pool(at, window=graph.shape(at)[1]))
    return graph.file(graph.softmax(graph.dense(pooled, classes)))
