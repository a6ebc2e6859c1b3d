import numpy as np
import pytest
from seq_files import E4, block

from drivers.thermal import seq
from pipeline.errors import InputError

COUNTS = np.random.default_rng(2).integers(11000, 15000, (6, 8)).astype(np.uint16)


@pytest.fixture
def save(tmp_path):
    def write(*parts):
        path = tmp_path / "a.seq"
        path.write_bytes(b"".join(parts))
        return path

    return write


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("header_order", "<>")
@pytest.mark.parametrize("pack", ["plain", "png", "swapped png"])
def test_a_picture_with_its_constants(save, order, header_order, pack):
    path = save(block(COUNTS, order=order, header_order=header_order, pack=pack))
    assert seq.is_seq(path)
    (found,) = seq.blocks(path)
    shot = seq.read(found)
    assert shot.counts.dtype == np.uint16 and np.array_equal(shot.counts, COUNTS)
    assert (shot.emissivity, shot.reflected_k) == pytest.approx((0.95, 293.15))
    assert (shot.planck.r1, shot.planck.b, shot.planck.f, shot.planck.o, shot.planck.r2) == pytest.approx(
        (E4["r1"], E4["b"], E4["f"], E4["o"], E4["r2"])
    )


def test_many_pictures_with_bytes_between_them(save):
    counts = [COUNTS + k for k in range(4)]
    path = save(*(block(c) + bytes(k) for k, c in enumerate(counts)))
    assert [seq.read(b).counts[0, 0] - COUNTS[0, 0] for b in seq.blocks(path)] == [0, 1, 2, 3]


def test_counts_that_look_like_a_header(save):
    counts = COUNTS.copy()
    counts.ravel()[:2] = np.frombuffer(b"FFF\0", "<u2")
    path = save(block(counts), block(COUNTS))
    assert len(seq.blocks(path)) == 2


def test_a_cut_recording_keeps_its_whole_pictures(save):
    one = block(COUNTS)
    assert len(seq.blocks(save(one, one[:-7]))) == 1
    assert len(seq.blocks(save(one, one[:50]))) == 1


@pytest.mark.parametrize("data", [b"FFF\0", b"FFF\0" + bytes(200), block(COUNTS)[:-7], b"no thermal picture"])
def test_no_whole_picture(save, data):
    with pytest.raises(InputError, match=rf"a.seq: needs a FLIR SEQ or FFF file, got {len(data)} bytes without a whole picture"):
        seq.blocks(save(data))


def test_without_constants(save):
    shot = seq.read(seq.blocks(save(block(COUNTS, camera=None)))[0])
    assert shot.planck is None and (shot.emissivity, shot.reflected_k) == (1.0, 293.15)
    zero = dict.fromkeys(E4, 0)
    assert seq.read(seq.blocks(save(block(COUNTS, camera=zero)))[0])[1:] == (None, 1.0, 293.15)


def test_what_is_not_read(save):
    (found,) = seq.blocks(save(block(COUNTS, pack="jpeg-ls")))
    with pytest.raises(
        InputError, match=r"a.seq: the picture at byte 0: needs plain counts or PNG, got JPEG-LS, which is not read"
    ):
        seq.read(found)
    (found,) = seq.blocks(save(block(COUNTS.astype(np.uint8), pack="png")))
    with pytest.raises(InputError, match=r"needs a PNG of 8x6 counts of 16 bits, got one that is not"):
        seq.read(found)
    wrong = block(COUNTS, camera=None).replace(b"\2\0\x08\0\x06\0", b"\2\0\x08\0\x60\0")
    with pytest.raises(InputError, match=r"needs 8x96 counts, got 96 bytes"):
        seq.read(seq.blocks(save(wrong))[0])
    nothing = block(COUNTS, camera=E4).replace(b"\0\1\0\1\0\0\0\x64", b"\0\3\0\1\0\0\0\x64", 1)
    with pytest.raises(InputError, match=r"needs a record of raw data, got records \[3, 32\]"):
        seq.read(seq.blocks(save(nothing))[0])
