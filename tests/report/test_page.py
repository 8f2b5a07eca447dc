"""The page fetches nothing, runs nothing of others, and is whole."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgepack.report.contents import Report, reported
from edgepack.report.page import MOST_BYTES, rendered
from edgepack.report.subject import opened
from tests.report.run_folder import HOSTILE

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Reader(HTMLParser):
    """Tags with their attributes, and what stands in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        within = self.open[-1] if self.open else ""
        self.raw.get(within, self.text).append(data)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_nothing_is_fetched_and_no_handler_is_written_in(read: Reader) -> None:
    for tag, attributes in read.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form", "foreignobject", "use", "image")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", f"{tag} has a style of its own, which the policy forbids"
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert "url(http" not in "".join(read.raw["style"])


def test_the_policy_allows_this_style_and_this_script_only(read: Reader) -> None:
    (policy,) = [
        each["content"] for tag, each in read.tags if each.get("http-equiv") == "Content-Security-Policy"
    ]
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert allowed["default-src"] == "'none'" and allowed["img-src"] == "data:"
    for kind in ("script", "style"):
        (text,) = read.raw[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[f"{kind}-src"] == f"'sha256-{digest}'"


def test_hostile_names_are_shown_and_stay_text(page: str, read: Reader) -> None:
    assert HOSTILE in " ".join(read.text), "the name is shown as it is"
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "49" not in {text.strip() for text in read.text}, "a template in a name was filled"
    assert page.count("<script") == 1


def test_every_picture_has_a_name_and_ids_are_unique(read: Reader) -> None:
    pictures = [
        attributes for tag, attributes in read.tags if tag == "svg" and attributes.get("role") == "img"
    ]
    assert len(pictures) >= 12
    assert all(attributes["aria-label"] for attributes in pictures)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("alt") for tag, attributes in read.tags if tag == "img")


def test_the_whole_run_is_told(read: Reader, page: str) -> None:
    sections = [attributes["id"] for tag, attributes in read.tags if tag == "section" and "id" in attributes]
    assert sections == [
        "stages", "front", "answers", "layers", "bytes", "latency", "robustness", "data", "promises", "environment",
    ]  # fmt: skip
    linked = {attributes["href"] for tag, attributes in read.tags if tag == "a"}
    assert {f"#{name}" for name in sections} <= linked
    assert len(page.encode()) < MOST_BYTES


def test_a_missed_budget_is_seen_at_the_top(report: Report) -> None:
    top = report.devices[0]
    gauges = {gauge.key: gauge for gauge in top.gauges}
    assert gauges["latency_ms"].holds is False and gauges["file_bytes"].holds is True
    assert gauges["metric"].holds is True and "drop at most 0.5" in gauges["metric"].limit
    assert gauges["delivered_bytes"].holds is None


def test_a_bare_package_says_what_it_does_not_hold(run_folder: Path) -> None:
    report = reported(opened(run_folder / "owls.edgepack"))
    sections = {section.id: section for section in report.sections}
    assert {"layers", "bytes"} <= set(sections) and not {"answers", "latency", "robustness"} & set(sections)
    (notice,) = [block for block in sections["environment"].blocks if block.kind == "notice"]
    told = " ".join(notice.lines)
    for missing in ("answers on the evaluation data", "latency", "robustness to noise", "lint of the data"):
        assert missing in told
    page = rendered("report.html.jinja", report=report)
    assert re.search(r"kept:</span> at most 9\.0 KB", page), "the limits come from the recipe in the package"


def test_an_early_end_still_makes_a_page(tmp_path: Path) -> None:
    from edgepack.errors import DataError
    from edgepack.pipeline.output import write_result
    from edgepack.pipeline.result import failure

    write_result(tmp_path, failure(DataError(HOSTILE), 1.0))
    report = reported(opened(tmp_path))
    assert not report.passed and report.reasons == (HOSTILE,) and report.sections == ()
    assert "✗ Failed" in rendered("report.html.jinja", report=report)
