"""Int8 models of a single op: what a table of latencies is measured on."""

from __future__ import annotations

from edgepack.tflite.handwritten import Handwritten


def convolution(side: int, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> bytes:
    """CONV_2D, SAME, on a map of side × side × inputs."""
    graph = Handwritten()
    return graph.file(
        graph.convolution(graph.input(side, side, inputs), outputs, kernel=kernel, stride=stride)
    )


def depthwise(side: int, channels: int, *, kernel: int, stride: int = 1) -> bytes:
    """DEPTHWISE_CONV_2D, SAME, on a map of side × side × channels."""
    graph = Handwritten()
    return graph.file(graph.depthwise(graph.input(side, side, channels), kernel=kernel, stride=stride))


def dense(inputs: int, outputs: int) -> bytes:
    """FULLY_CONNECTED on one row."""
    graph = Handwritten()
    return graph.file(graph.dense(graph.input(inputs), outputs))


def add(side: int, channels: int) -> bytes:
    """ADD of two maps of side × side × channels."""
    graph = Handwritten()
    one, other = graph.input(side, side, channels), graph.input(side, side, channels, scale=0.04)
    return graph.file(graph.add(one, other))


def average_pool(side: int, channels: int, *, window: int) -> bytes:
    """AVERAGE_POOL_2D over windows that do not overlap, on a map of side × side × channels."""
    graph = Handwritten()
    return graph.file(graph.average_pool(graph.input(side, side, channels), window=window))


def softmax(values: int) -> bytes:
    """SOFTMAX of one row."""
    graph = Handwritten()
    return graph.file(graph.softmax(graph.input(values, scale=0.1)))
