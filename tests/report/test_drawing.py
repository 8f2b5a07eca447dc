"""Only harmless SVG gets into a page."""

from __future__ import annotations

from edgepack.report.blocks import Picture
from edgepack.report.pictures import dots, treemap
from edgepack.report.pictures.drawing import drawn, harmless
from tests.report.run_folder import HOSTILE

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def test_what_runs_or_fetches_is_dropped() -> None:
    text, width = harmless(
        f'<svg {SVG} width="90" height="10" onload="alert(1)"><script>alert(2)</script><foreignObject><p/></foreignObject>'
        '<a href="javascript:alert(3)"><path d="M0,0"/></a><image xlink:href="http://x/y.png"/><style>@import "z"</style>'
        '<rect width="5" fill="url(http://x/f)" onclick="alert(4)" style="fill:red"/><g id="c" clip-path="url(#c)"/></svg>',
        name="a <name>",
    )
    assert width == 90
    for trace in (
        "script",
        "alert",
        "foreignObject",
        "href",
        "http://x",
        "onload",
        "onclick",
        "style",
        "import",
    ):
        assert trace not in text, trace
    assert 'aria-label="a &lt;name&gt;"' in text and 'role="img"' in text
    assert "<rect" in text and 'clip-path="url(#p' in text


def test_pictures_do_not_share_ids() -> None:
    once, again = (harmless(f'<svg {SVG}><g id="clip1"/></svg>', name="x")[0] for _ in range(2))
    assert once != again


def test_numbers_in_words_keep_their_digits() -> None:
    text, _ = harmless(f'<svg {SVG}><text transform="translate(0.123456,1)">0.123456</text></svg>', name="x")
    assert ">0.123456<" in text and "translate(0.12,1)" in text


def test_hostile_names_are_drawn_as_text() -> None:
    descriptions = (
        treemap.treemap([("kernels", HOSTILE, 5, HOSTILE), ("names", "names", 1, "names")]),
        dots.dumbbells([(HOSTILE, 0.1, 0.2)], unit=HOSTILE),
        dots.steps([(HOSTILE, 0.5, HOSTILE)], unit="x"),
    )
    for description in descriptions:
        svg = str(drawn(Picture(caption="c", description=description)).svg)
        assert "&lt;script&gt;alert(1)" in svg and "<script" not in svg and "<img" not in svg


def test_points_carry_their_details() -> None:
    point = {"x": 1.0, "y": 2.0, "low": 1.5, "high": 2.5, "kind": "chosen", "told": "the chosen one"}
    svg = str(drawn(Picture(caption="c", description=dots.front([point], x="KB", y="drop", limit=2.0))).svg)
    assert "<title>the chosen one</title>" in svg
