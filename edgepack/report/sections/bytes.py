"""Where the bytes of the .tflite go."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack import tflite
from edgepack.report import figures
from edgepack.report.anatomy import Part
from edgepack.report.blocks import Column, Picture, Pictures, Section, cell, table
from edgepack.report.material import Material
from edgepack.report.pictures import treemap

PURPOSES = {
    "quantization": "scales and zero points",
    "other constants": "other constants",
    "names": "names",
    "metadata": "metadata",
    "structure": "structure",
}
SMALLEST_SHARE = 0.001
"""Of the file: smaller cells are put together."""


def section(material: Material, parts: Sequence[Part]) -> Section | str:
    """The section, or why there is none."""
    if material.shipped is None:
        return "bytes of the file: the build wrote no model; build with --keep-failed to look into it"
    model = material.shipped.model
    cells = _cells(model, parts)
    told = [
        (
            purpose,
            name,
            count,
            f"{name}: {purpose}, {count:,} bytes, {figures.share(count / model.size_bytes)}",
        )
        for purpose, name, count in cells
    ]
    caption = f"{model.size_bytes:,} bytes by what they serve"
    totals: dict[str, int] = {}
    for purpose, _, count in cells:
        totals[purpose] = totals.get(purpose, 0) + count
    numbers = table(
        "Bytes by purpose",
        (Column(title="Purpose"), Column(title="Bytes", number=True), Column(title="Share", number=True)),
        [
            [cell(purpose), cell(f"{count:,}", count), cell(figures.share(count / model.size_bytes), count)]
            for purpose, count in sorted(totals.items(), key=lambda item: -item[1])
        ],
    )
    picture = Picture(caption=caption, description=treemap.treemap(told), numbers=numbers, wide=True)
    return Section(
        id="bytes",
        title="Where the bytes go",
        lead="Every byte of the .tflite counts once; a constant that several layers share counts for the first.",
        blocks=(Pictures(pictures=(picture,)),),
    )


def _cells(model: tflite.Model, parts: Sequence[Part]) -> list[tuple[str, str, int]]:
    """(purpose, name, bytes), small ones of a purpose together."""
    kernels = {index: part.layer for part in parts for index in part.kernels}
    readers = {
        index: part.layer for part in parts for number in part.ops for index in model.main.ops[number].inputs
    }
    found: dict[tuple[str, str], int] = {}
    for span in tflite.byte_spans(model):
        where = None if span.tensor is None else kernels.get(span.tensor, readers.get(span.tensor))
        if span.purpose == "weights":
            purpose = "kernels" if span.tensor in kernels else "biases"
        else:
            purpose = PURPOSES[span.purpose]
        single = purpose in ("names", "metadata", "structure")
        key = (purpose, purpose if single else where or "the rest")
        found[key] = found.get(key, 0) + span.size_bytes
    least = SMALLEST_SHARE * model.size_bytes
    cells: dict[tuple[str, str], int] = {}
    for (purpose, name), count in found.items():
        key = (purpose, name if count >= least else "the rest")
        cells[key] = cells.get(key, 0) + count
    return [(purpose, name, count) for (purpose, name), count in cells.items() if count]
