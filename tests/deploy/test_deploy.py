"""The files of deploy/: shell that parses, a unit whose command exists, one torch for script and image. None ran on a board."""

import argparse
import configparser
import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from boards import RELEASES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCRIPT = DEPLOY / "install-jetpack6.sh"


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_shell(script):
    assert script.stat().st_mode & 0o111, "it can be executed"
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def install(tmp_path, *words, release=RELEASES["orin"]):
    file = tmp_path / "nv_tegra_release"
    if release:
        file.write_text(release + "\n")
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TEGRA_RELEASE": str(file), "HOME": str(tmp_path)}
    return subprocess.run([str(SCRIPT), *words], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_dry_run_names_every_step_and_takes_none(tmp_path):
    done = install(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    steps = done.stdout.splitlines()
    torch = next(i for i, step in enumerate(steps) if "--index-url https://pypi.jetson-ai-lab.io/jp6/cu126 torch==2.8.0" in step)
    ours = next(i for i, step in enumerate(steps) if step.endswith("[record,onnx,torch]"))
    assert torch < ours and "-c /" in steps[ours], "the project's requirement must not replace NVIDIA's torch"
    for name in ("pipe@.service", "99-pipe.rules", "60-pipe.conf"):
        assert any(name in step for step in steps)
    assert steps[-1] == "/opt/pipe/bin/pipe doctor"


def test_without_torch(tmp_path):
    done = install(tmp_path, "--dry-run", "--no-torch")
    assert done.returncode == 0 and "torch" not in done.stdout and done.stdout.count("pip install") == 1


@pytest.mark.parametrize(
    "words, release, text",
    [
        (("--dry-run",), RELEASES["tx2"], "needs JetPack 6 (L4T R36) in "),
        (("--dry-run",), "", "got no such file"),
        (("--force",), RELEASES["orin"], "needs --dry-run, --no-torch or nothing, got --force"),
    ],
)
def test_what_it_refuses(tmp_path, words, release, text):
    done = install(tmp_path, *words, release=release)
    assert done.returncode == 1 and text in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout


def test_the_unit():
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "pipe@.service")
    service = unit["Service"]
    program, verb, graph, *options = shlex.split(service["ExecStart"])
    assert (program, verb, graph) == ("/opt/pipe/bin/pipe", "run", "/etc/pipe/%i.yaml")
    parser = argparse.ArgumentParser()
    importlib.import_module("pipeline.cli.run").add(parser)
    parser.parse_args([graph, *(word for word in options if word != "$PIPE_ARGS")])
    assert (service["KillMode"], service["SuccessExitStatus"], service["RestartPreventExitStatus"]) == ("mixed", "143", "2")
    longest = f"{service['Environment'].split()[0].partition('=')[2]}/pipe/live-4194304-12345678/e123.45.67"
    assert len(longest) < 107, "paths of sockets are short"
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", str(DEPLOY / "pipe@.service")], capture_output=True, text=True, check=False
        )
        assert "Unknown" not in done.stderr


def test_rules():
    pair = r'[A-Z]+(\{[^}]+\})?(==|=|\+=)"[^"]*"'
    rules = [line for line in (DEPLOY / "99-pipe.rules").read_text().splitlines() if line and not line.startswith("#")]
    assert rules and all(re.fullmatch(rf"{pair}(, {pair})*", rule) for rule in rules)


def test_the_image_has_the_torch_of_the_script():
    text = (DEPLOY / "Dockerfile").read_text()
    script = SCRIPT.read_text()
    for name in ("TORCH", "TORCH_INDEX"):
        (image,) = re.findall(rf"^ARG {name}=(.+)$", text, re.MULTILINE)
        assert f"{name}=${{{name}:-{image}}}" in script
    assert re.search(r"^FROM nvcr.io/nvidia/l4t-jetpack:r36\.", text, re.MULTILINE)
    for source in re.findall(r"^COPY (.+) /src", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())


def test_the_buffer_is_what_the_doctor_asks_for():
    from pipeline.cli.checks.devices import MIN_RMEM

    (size,) = re.findall(r"^net.core.rmem_max = (\d+)$", (DEPLOY / "60-pipe.conf").read_text(), re.MULTILINE)
    assert int(size) >= MIN_RMEM


def test_the_page_names_every_file():
    page = (ROOT / "docs" / "jetson.md").read_text()
    assert [path.name for path in DEPLOY.iterdir() if path.name not in page] == []
