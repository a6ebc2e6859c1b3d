"""`pipe eval` with files that are no text, may not be read, or are something else: one line, exit code 2, for each evaluator."""

import os

import pytest
from track_files import line, write

from pipeline.__main__ import main

ROW = "{},1,10,20,30,40,1,-1,-1,-1\n"


class Case:
    """Truth and results of an evaluator, each side good: the files of both sides, and what is written there."""

    def __init__(self, root, evaluator, gt, results, text):
        self.evaluator, self.gt, self.results, self.text = evaluator, gt, results, text
        self.root = root
        for path in (self.truth, self.found):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(path))

    @property
    def truth(self):
        return self.root / "gt" / self.gt

    @property
    def found(self):
        return self.root / "results" / self.results

    def run(self, capsys):
        capsys.readouterr()
        code = main(["eval", self.evaluator, "--gt", str(self.root / "gt"), "--results", str(self.root / "results")])
        out, err = capsys.readouterr()
        return code, out, err


CASES = {
    "kitti-tracking": ("label_02/0000.txt", "0000.txt", lambda path: "".join(line(f, 1, score=_score(path)) for f in range(3))),
    "kitti-centres": ("label_02/0000.txt", "0000.txt", lambda path: "".join(line(f, 1, score=_score(path)) for f in range(3))),
    "mot": ("S/gt/gt.txt", "S.txt", lambda path: "".join(ROW.format(f) for f in (1, 2, 3))),
}


def _score(path):
    return None if "label_02" in path.parts else 0.9


@pytest.fixture(params=list(CASES))
def case(request, tmp_path, capsys):
    made = Case(tmp_path, request.param, *CASES[request.param])
    assert made.run(capsys)[0] == 0  # and its kernels are compiled
    return made


SIDES = ["truth", "found"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("byte", [0x00, 0x0B, 0x0C, 0x1A, 0x1B, 0x7F])
def test_a_control_byte_is_named(case, capsys, side, byte):
    path = getattr(case, side)
    good = path.read_bytes()
    for data, number in ((good + b"%c" % byte, 4), (good.replace(b"\n", b"%c\n" % byte, 1), 1), (b"%c" % byte + good, 1)):
        path.write_bytes(data)
        code, out, err = case.run(capsys)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {path}:{number}: needs text, got the control byte 0x{byte:02x}") and err.count("\n") == 1


@pytest.mark.parametrize("side", SIDES)
def test_marks_line_ends_and_float_frame_numbers_change_nothing(case, capsys, side):
    before = case.run(capsys)
    path = getattr(case, side)
    good = path.read_text()
    floats = "".join(f"{float(text[0]):.18e}{text[1:]}" for text in good.splitlines(True))
    for text in ("\ufeff" + good, good.replace("\n", "\r\n"), good.replace("\n", "\r"), floats):
        path.write_bytes(text.encode())
        assert case.run(capsys) == before, repr(text[:60])
    path.write_text(good, encoding="utf-16")
    assert case.run(capsys) == (2, "", f"error: {path}: needs UTF-8, got UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)\n")


def test_names_that_begin_with_a_dot_do_not_count(case, capsys):
    before = case.run(capsys)
    for path in (case.truth, case.found):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        (path.parent / ".ipynb_checkpoints" / path.name).write_bytes(b"\0")
    for folder in (case.root / "gt", case.root / "results"):
        (folder / "._S").write_bytes(b"\0")
        (folder / ".DS_Store").write_bytes(b"\0")
    assert case.run(capsys) == before


@pytest.mark.timeout(20)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_else_than_a_file_is_named_and_never_waited_for(case, capsys, side, make):
    path = getattr(case, side)
    path.unlink()
    make(path)
    kind = "a named pipe" if make is os.mkfifo else "a folder"
    assert case.run(capsys) == (2, "", f"error: {path}: needs a file, got {kind}\n")


@pytest.mark.parametrize("side", SIDES)
def test_a_link_to_nothing_is_named(case, capsys, side):
    path = getattr(case, side)
    path.unlink()
    path.symlink_to("gone.txt")
    assert case.run(capsys) == (2, "", f"error: {path}: is a link to gone.txt, which is not there\n")


@pytest.mark.parametrize("side", SIDES)
def test_what_may_not_be_read_is_not_taken_for_absent(case, capsys, side, locked):
    other = "found" if side == "truth" else "truth"
    closed, readable = (str(getattr(case, name).relative_to(case.root)) for name in (side, other))
    case.root = locked(closed, readable={readable: getattr(case, other).read_text()})
    code, out, err = case.run(capsys)
    assert (code, out) == (2, "") and err.endswith(" may not be read (Permission denied)\n") and err.count("\n") == 1
    assert f"error: {case.root / closed.partition('/')[0]}" in err


def test_times_and_long_numbers_as_frames_are_refused_in_a_line(case, capsys):
    good = case.found.read_text()
    for number, got in (("1712345678000", "1712345678000; is it a time?"), ("-3", "-3"), ("9" * 5000, "inf"), ("1e99", "1e+99")):
        case.found.write_text(good + number + good.splitlines()[0][1:] + "\n")
        code, out, err = case.run(capsys)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {case.found}:4: needs ") and got in err and err.count("\n") == 1 and len(err) < 300


def test_no_row_of_the_truth_counts(case, capsys):
    if case.evaluator == "mot":
        case.truth.write_text("".join(f"{f},1,10,20,30,40,0,1,1\n" for f in (1, 2, 3)))
    else:
        case.truth.write_text("".join(line(f, 1, kind="Misc") for f in range(3)))
    code, out, err = case.run(capsys)
    assert code == 0 and err.startswith(f"warning: --gt {case.root / 'gt'}: no ") and err.count("\n") == 1
    assert "n/a" in out or "vehicles             -" in out
    assert "inf" not in out and "-300" not in out


def test_truth_that_is_empty(tmp_path, capsys):
    gt = write(tmp_path / "gt", s0001="")
    results = write(tmp_path / "results", s0001=line(0, 7, score=2))
    assert main(["eval", "kitti-tracking", "--gt", str(gt), "--results", str(results)]) == 0
    out, err = capsys.readouterr()
    assert err == f"warning: --gt {gt}: no row of the truth counts for car, pedestrian: n/a instead of scores\n"
    assert out.splitlines()[1].split()[:3] == ["car", "n/a", "n/a"]
