"""A Vega or Vega-Lite description becomes SVG that may stand inside a page: colours follow the theme, nothing runs.

The descriptions are plain data; names that came from a model stand only in data values, never in expressions. What the
renderer gives is read again and only what is known to be harmless is written down.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

from edgepack import errors
from edgepack.report.blocks import Picture

SVG: Final = "http://www.w3.org/2000/svg"
TAGS: Final = frozenset(
    {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "title", "defs", "clipPath"}
)
ATTRIBUTES: Final = frozenset(
    {
        "class", "width", "height", "viewBox", "d", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "rx",
        "ry", "transform", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray",
        "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity", "text-anchor", "font-size",
        "font-weight", "font-style", "dominant-baseline", "display", "id", "clip-path",
    }
)  # fmt: skip
GEOMETRY: Final = frozenset({"d", "transform", "x", "y", "x1", "x2", "y1", "y2"})
DECIMALS: Final = re.compile(r"-?\d+\.\d{3,}")
WIDTH: Final = 300
"""Of a picture's plot, before it is scaled to its place."""

CONFIG: Final[Mapping[str, Any]] = {
    "background": None,
    "padding": {"left": 22, "right": 30, "top": 6, "bottom": 6},
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "domainColor": "var(--rule)", "tickColor": "var(--rule)",
        "gridColor": "var(--grid)", "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "labelLimit": 170, "titlePadding": 8,
    },
    "legend": {"labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": 12, "titleFontSize": 12},
    "title": {"color": "var(--ink)", "fontSize": 13, "anchor": "start"},
    "text": {"color": "var(--ink)", "fontSize": 12},
    "range": {"category": [f"var(--{name})" for name in ("after", "second", "third", "fourth", "fifth", "sixth")]},
}  # fmt: skip

VEGA_LITE: Final = "https://vega.github.io/schema/vega-lite/v5.json"
SPANNING: Final = 535
"""Pixels from which a picture stands alone in its row."""
_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture as it stands in a page.

    Attributes:
      svg: markup that needs no escaping.
      spans: whether it needs a row of its own.
    """

    svg: Any
    spans: bool


def drawn(picture: Picture) -> Drawn:
    """Draws a picture.

    Raises:
      MissingDependencyError: the extra "report" is not installed.
    """
    try:
        import vl_convert
        from markupsafe import Markup
    except ImportError as error:
        raise errors.MissingDependencyError(
            "pictures need vl-convert-python, which is not installed; install it with: pip install 'edgepack[report]'"
        ) from error
    # Text is measured here in another font than the reader's: the padding takes up the difference.
    if "/vega/" in picture.description.get("$schema", ""):
        svg = vl_convert.vega_to_svg(dict(picture.description), allowed_base_urls=[])
    else:
        whole = {"$schema": VEGA_LITE, "config": dict(CONFIG), **picture.description}
        svg = vl_convert.vegalite_to_svg(whole, allowed_base_urls=[])
    text, width = harmless(svg, name=picture.name or picture.caption)
    return Drawn(svg=Markup(text), spans=width > SPANNING)


def harmless(svg: str, *, name: str) -> tuple[str, float]:
    """The SVG with only known tags and attributes, marks named by titles, ids of its own; and its width in pixels."""
    root = ElementTree.fromstring(svg)
    prefix = f"p{next(_numbers)}-"
    for element in [*root.iter()]:
        _cleaned(element, prefix)
    root.set("role", "img")
    root.set("aria-label", name)
    ElementTree.register_namespace("", SVG)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return text, float(root.get("width", "0"))


def _cleaned(element: ElementTree.Element, prefix: str) -> None:
    described = element.get("aria-label") if element.get("role") == "graphics-symbol" else None
    axis = element.get("aria-roledescription") in ("axis", "legend", "title")
    for child in [*element]:
        if _tag(child) not in TAGS or child.get("opacity") == "0" or child.get("display") == "none":
            element.remove(child)
    for name, value in [*_attributes(element)]:
        if name not in ATTRIBUTES or ("url(" in value and not re.fullmatch(r"url\(#\w+\)", value)):
            del element.attrib[name]
        elif name == "id":
            element.set(name, prefix + value)
        elif "url(" in value:
            element.set(name, value.replace("#", "#" + prefix))
        elif name == "class":
            del element.attrib[name]
        elif name in GEOMETRY:
            element.set(name, DECIMALS.sub(lambda found: f"{float(found[0]):.2f}", value))
    if described and not axis:
        title = ElementTree.Element(f"{{{SVG}}}title")
        title.text = described
        element.insert(0, title)


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _attributes(element: ElementTree.Element) -> Iterator[tuple[str, str]]:
    yield from element.attrib.items()
