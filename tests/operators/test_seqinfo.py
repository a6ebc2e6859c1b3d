import re

import pytest

from operators.seqinfo import SeqInfo, read_seqinfo
from pipeline.errors import InputError


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "seqinfo.ini"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_without_the_file_nothing_is_known(tmp_path):
    assert read_seqinfo(tmp_path / "seqinfo.ini") == SeqInfo(None, None)


@pytest.mark.parametrize(
    "data",
    [
        "[Sequence]\nname=A\nimDir=img1\nframeRate=25\nseqLength=6\nimExt=.jpg\n",
        "\ufeff[Sequence]\nframeRate=25\nseqLength=6\n",
        "[Sequence]\r\nframeRate=25\r\nseqLength=6\r\n",
        "[Sequence]\rframeRate=25\rseqLength=6\r",
        "[sequence]\nFRAMERATE = 25.0\nseqlength: 6.0\n",
        "frameRate=25\nseqLength=6\n",
        "[Sequence]\nframeRate=25 ; as recorded\n; seqLength=9\n# seqLength=8\n  seqLength=6\t# frames\n",
        "[Sequence]\nname=100%_crop\nframeRate=25\nseqLength=6\n",
        b"[Sequence]\nname=caf\xe9\nframeRate=25\nseqLength=6\n",
        "[Sequence]\nframeRate=25\nframeRate=25\nseqLength=6\n",
        "[Sequence]\nframeRate=2.5e1\nseqLength=6\n[other]\nseqLength=many\n",
        "[Sequence]\nno entry\n=\n[\nx=\nframeRate=25\nseqLength=6".replace("[\n", ""),
    ],
)
def test_spellings_of_the_same(file, data):
    assert read_seqinfo(file(data)) == SeqInfo(6, 25.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[Sequence]\nseqLength=many", ":2: needs seqLength as a whole number, 0 to 1,000,000, got 'many'"),
        ("seqLength=6.5", ":1: needs seqLength as a whole number, 0 to 1,000,000, got '6.5'"),
        ("seqLength=-1", ":1: needs seqLength as a whole number, 0 to 1,000,000, got '-1'"),
        ("seqLength=", ":1: needs seqLength as a whole number, 0 to 1,000,000, got ''"),
        ("seqLength=1000000000", ":1: needs seqLength as a whole number, 0 to 1,000,000, got '1000000000'"),
        ("seqLength=" + "9" * 100_000, f":1: needs seqLength as a whole number, 0 to 1,000,000, got '{'9' * 40}'"),
        ("\nframeRate=30000/1001", ":2: needs frameRate as a number such as 25 or 29.97, 0.001 to 1,000,000, got '30000/1001'"),
        ("frameRate=29,97", ":1: needs frameRate as a number such as 25 or 29.97, 0.001 to 1,000,000, got '29,97'"),
        ("frameRate=0", ":1: needs frameRate as a number such as 25 or 29.97, 0.001 to 1,000,000, got '0'"),
        ("frameRate=1e-300", ":1: needs frameRate as a number such as 25 or 29.97, 0.001 to 1,000,000, got '1e-300'"),
        ("frameRate=nan", ":1: needs frameRate as a number such as 25 or 29.97, 0.001 to 1,000,000, got 'nan'"),
        ("frameRate=25\nframeRate=30", ":2: needs one frameRate, got '30', and '25' in line 1"),
        ("[Sequence]\n\x1a", ":2: needs text, got the control byte 0x1a"),
    ],
)
def test_wrong_values_in_plain_words(file, data, message):
    path = file(data)
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + message)}$"):
        read_seqinfo(path)
