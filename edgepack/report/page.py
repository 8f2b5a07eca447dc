"""A report as one HTML file: templates filled with everything escaped, its own style and script inside, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any, Final

from edgepack import errors
from edgepack.report.pictures.drawing import drawn

MOST_BYTES: Final = 2_000_000
TEMPLATES: Final = "edgepack.report"


def rendered(template: str, **values: Any) -> str:
    """A page of a template of this room, with its style and script and a policy that lets nothing else in.

    Raises:
      MissingDependencyError: the extra "report" is not installed.
    """
    style, script = _asset("style.css"), _asset("page.js")
    return str(
        _environment()
        .get_template(template)
        .render(style=style, script=script, policy=policy(style, script), **values)
    )


def rendered_text(template: str, **values: Any) -> str:
    """Text of a template of this room in which the filter `plain` escapes for Markdown.

    Raises:
      MissingDependencyError: the extra "report" is not installed.
    """
    return str(_environment().get_template(template).render(**values))


MARKUP: Final = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]()#+!|~>"} | {"<": "&lt;", "&": "&amp;"}
)


def escaped(text: object) -> str:
    """Text that Markdown shows as it is, on one line: no link, no markup, nobody mentioned.

    Example:
      >>> escaped("a|b <img> @you")
      'a\\\\|b &lt;img\\\\> @\\u200byou'
    """
    return " ".join(str(text).split()).translate(MARKUP).replace("@", "@\u200b")


def policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: this style, this script, pictures inside the page, no request whatever."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return resources.files(TEMPLATES).joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise errors.MissingDependencyError(
            "pages need jinja2, which is not installed; install it with: pip install 'edgepack[report]'"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(TEMPLATES, "templates"),
        autoescape=lambda name: name is None or ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"drawn": drawn, "plain": escaped}
    return environment
