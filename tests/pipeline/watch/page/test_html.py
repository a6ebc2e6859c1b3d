"""The file: whole, without a network, and safe for names and texts of any characters."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from pipeline.watch.page import html

NASTY = "</script><script>alert(1)</script><!--<script>\u2028'\"&amp;\\\x00\ud800"
DATA = {"snapshot": {"graph": NASTY, "run": "g-1"}, "text": NASTY, "number": 1.5}


class Elements(HTMLParser):
    """tags: (name, attributes, text between the tags of a script or style)"""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.tags.append(["", {}, ""])

    def handle_data(self, data):
        if self.tags:
            self.tags[-1][2] += data

    def of(self, name):
        return [tag for tag in self.tags if tag[0] == name]


@pytest.mark.parametrize("scripts", [html.FINISHED, html.LIVE])
def test_nothing_comes_from_elsewhere(scripts):
    text = html.page(DATA, scripts)
    page = Elements(text)
    assert text.startswith("<!doctype html>") and len(page.of("script")) == 2
    assert all("src" not in attributes for _, attributes, _ in page.tags)
    assert [attributes["href"] for _, attributes, _ in page.tags if "href" in attributes] == ["data:,"]
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[\w/]*", text)) | set(re.findall(r"@import|url\(", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)


@pytest.mark.parametrize("scripts", [html.FINISHED, html.LIVE])
def test_the_policy_allows_this_script_and_style_only(scripts):
    page = Elements(html.page(DATA, scripts))
    (policy,) = [a["content"] for _, a, _ in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    for name, text in (("script-src", page.of("script")[1][2]), ("style-src", page.of("style")[0][2])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def test_data_of_any_characters():
    page = Elements(html.page(DATA))
    title, data = page.of("title")[0], page.of("script")[0]
    assert "alert(1)" in title[2] and json.loads(data[2]) == DATA
    assert not re.search(r"[<>&]", html.embedded(DATA))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, {"a": (float("-inf"), "x")}]])
def test_numbers_that_json_lacks(value):
    assert re.search("nan|inf", html.embedded({"value": value}))
    json.loads(html.embedded({"value": value}), parse_constant=pytest.fail)
