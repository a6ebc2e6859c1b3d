"""The run page in Chromium: of a finished run opened as a file, and live while a node is killed."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from browser import chromium
from pipe_runs import wait_for

import pipeline

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GRAPH = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 40, rate_hz: 10}}
  p: {op: test.pass, inputs: {in: a.out}}
  snk: {op: test.null, inputs: {in: p.out}}
"""
PICTURE = """
  cam: {driver: "pipe_nodes:Pictures", config: {frames: 2}}
  render: {op: render.picture, inputs: {image: cam.image}, config: {png_every: 1}}
"""


def test_a_finished_run_as_a_file(tmp_path):
    (tmp_path / "g&<i>.yaml").write_text(GRAPH + PICTURE)
    outcome = pipeline.run(tmp_path / "g&<i>.yaml", out=tmp_path / "out", place="inline")
    assert outcome.code == 0, outcome.errors
    shutil.move(tmp_path / "out", tmp_path / "moved # folder")  # links are relative
    with chromium(tmp_path) as browser:
        for width, dark in ((1600, False), (360, True)):
            browser.size(width, 1200)
            if dark:
                browser.dark()
            browser.open((tmp_path / "moved # folder" / "run.html").as_uri())
            browser.wait("return document.querySelectorAll('.graph .node').length === 5")
            assert browser.run("return document.querySelector('h1').textContent") == "g&<i>"
            assert browser.run("return document.querySelectorAll('.fall .span').length") >= 3
            assert browser.run("return document.querySelectorAll('.chart svg').length") == 1
            assert browser.run("return document.documentElement.scrollWidth") <= width
            browser.run("document.querySelectorAll('img').forEach((i) => i.loading = 'eager')")
            browser.wait("return document.images.length === 2 && [...document.images].every((i) => i.naturalWidth === 64)")
            browser.wait("return document.querySelector('video').readyState >= 1")
            browser.run("const s = document.querySelector('input[type=range]'); s.value = 0; s.oninput()")
            assert "a:0" in browser.run("return document.querySelector('input[type=range]').nextSibling.textContent")
            assert browser.messages() == []


def test_a_live_run_with_a_kill(pipe, tmp_path):
    graph = pipe.graph(GRAPH.partition("nodes:\n")[2].replace("frames: 40", "frames: 100"))
    run = pipe.start(graph, "--rate", "1", "--view")
    lines = []
    wait_for(lambda: lines.append(run.process.stdout.readline()) or "run page: " in lines[-1], 30, "the address")
    with chromium(tmp_path) as browser:
        browser.open(re.search(r"http://\S+", lines[-1])[0])
        browser.wait("return /[1-9].*\\/s.*[1-9].*\\/s/.test(document.querySelector('.graph').textContent)")
        run.kill("p")
        assert browser.wait("return document.querySelectorAll('.graph .node.dead').length === 1") < 2.0
        browser.wait("return document.querySelectorAll('.graph .node.dead').length === 0")
        assert "p: killed by SIGKILL; restart 1" in browser.run("return document.querySelector('.log').textContent")
        assert browser.run("return document.querySelector('input[type=range]').max") > "0"
        browser.wait("return document.getElementById('state').textContent === 'completed'", 40)
        began = time.monotonic()
        assert run.end().code == 0 and time.monotonic() - began < 5
        browser.wait("return document.querySelectorAll('.chart svg').length >= 1")
        assert "run.html" in browser.run("return document.body.textContent")
        assert browser.messages() == []
