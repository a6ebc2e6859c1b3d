import os
import struct

import numpy as np
import pytest
from cloud_files import pcd, ply

from drivers.clouds import formats
from pipeline.errors import InputError

XYZI = {"x": "float", "y": "float", "z": "float", "intensity": "float"}
PCD_XYZI = [(name, "F", 4, 1) for name in XYZI]
ROWS = [(1.0, 2.0, 3.0, 0.5), (-4.5, 0.0, 1e3, 0.25)]
PLY_DATA = ["ascii", "binary_little_endian", "binary_big_endian"]
PCD_DATA = ["ascii", "binary", "binary_compressed"]


def read(path, bin_columns=4):
    cloud = formats.read(path, bin_columns)
    return cloud.xyz.tolist(), None if cloud.intensity is None else cloud.intensity.tolist()


@pytest.mark.parametrize("data", PLY_DATA)
def test_ply_without_points(tmp_path, data):
    assert read(ply(tmp_path / "a.ply", XYZI, [], data)) == ([], [])


@pytest.mark.parametrize("data", PCD_DATA)
def test_pcd_without_points(tmp_path, data):
    assert read(pcd(tmp_path / "a.pcd", PCD_XYZI, [], data)) == ([], [])


def test_arrays_and_bins_without_points(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 3)))
    (tmp_path / "a.bin").write_bytes(b"")
    assert read(tmp_path / "a.npy") == ([], None)
    assert read(tmp_path / "a.bin") == ([], [])


@pytest.mark.parametrize("data", PLY_DATA)
def test_ply(tmp_path, data):
    assert read(ply(tmp_path / "a.ply", XYZI, ROWS, data)) == ([[1, 2, 3], [-4.5, 0, 1000]], [0.5, 0.25])


@pytest.mark.parametrize("data", PCD_DATA)
def test_pcd(tmp_path, data):
    assert read(pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data)) == ([[1, 2, 3], [-4.5, 0, 1000]], [0.5, 0.25])


@pytest.mark.parametrize("kind, value", [
    ("char", -7), ("uchar", 200), ("short", -300), ("ushort", 65535), ("int", -(2**31)), ("uint", 2**32 - 1), ("double", 0.1),
])  # fmt: skip
@pytest.mark.parametrize("data", PLY_DATA)
def test_every_type_of_ply(tmp_path, kind, value, data):
    columns = {"intensity": kind, "z": "double", "x": "float", "y": "short"}
    assert read(ply(tmp_path / "a.ply", columns, [(value, 500000.125, 1, 2)], data)) == ([[1, 2, 500000.125]], [value])


@pytest.mark.parametrize(
    "kind, size, value", [("U", 1, 200), ("U", 2, 65535), ("U", 4, 2**32 - 1), ("I", 2, -300), ("F", 8, 0.1)]
)
@pytest.mark.parametrize("data", PCD_DATA)
def test_types_of_pcd(tmp_path, kind, size, value, data):
    columns = [("z", "F", 8, 1), ("intensity", kind, size, 1), ("x", "F", 4, 1), ("y", "I", 2, 1)]
    assert read(pcd(tmp_path / "a.pcd", columns, [(500000.125, value, 1, 2)], data)) == ([[1, 2, 500000.125]], [value])


@pytest.mark.parametrize("data", PCD_DATA)
def test_the_padding_of_pcl_and_columns_of_several_numbers(tmp_path, data):
    columns = [
        ("x", "F", 4, 1), ("y", "F", 4, 1), ("z", "F", 4, 1), ("_", "U", 1, 4), ("normal", "F", 4, 3), ("intensity", "F", 4, 1),
        ("_", "U", 1, 12),
    ]  # fmt: skip
    rows = [(k, k + 1, k + 2, *[9] * 4, 7, 7, 7, k + 0.5, *[9] * 12) for k in (1, 2)]
    assert read(pcd(tmp_path / "a.pcd", columns, rows, data)) == ([[1, 2, 3], [2, 3, 4]], [1.5, 2.5])


@pytest.mark.parametrize("data", PLY_DATA)
def test_other_elements_of_a_ply(tmp_path, data):
    """A camera before the points is skipped; faces after them, lists included, are never read."""
    path = ply(
        tmp_path / "a.ply", XYZI, ROWS, data, "element camera 1\nproperty float f\nproperty uchar n\n",
        "element face 1\nproperty list uchar int vertex_indices\n",
    )  # fmt: skip
    head, _, body = path.read_bytes().partition(b"end_header\n")
    camera, face = (b"7 8\n", b"3 0 1 0\n") if data == "ascii" else (b"\0" * 5, b"\3" + b"\0" * 12)
    path.write_bytes(head + b"end_header\n" + camera + body + face)
    assert read(path) == ([[1, 2, 3], [-4.5, 0, 1000]], [0.5, 0.25])


@pytest.mark.parametrize(
    "name, found",
    [("Intensity", True), ("scalar_Intensity", True), ("intensities", True), ("reflectivity", True), ("intense", False)],
)
def test_names_of_intensity(tmp_path, name, found):
    columns = {"x": "float", "y": "float", "z": "float", name: "float"}
    assert read(ply(tmp_path / "a.ply", columns, ROWS))[1] == ([0.5, 0.25] if found else None)


def test_pcd_without_count_and_points(tmp_path):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS)
    path.write_bytes(path.read_bytes().replace(b"COUNT 1 1 1 1\n", b"").replace(b"POINTS 2\n", b""))
    assert read(path)[1] == [0.5, 0.25]


def test_arrays(tmp_path):
    points = np.arange(12, dtype=np.float64).reshape(2, 6)
    np.save(tmp_path / "a.npy", points)
    np.save(tmp_path / "b.npy", np.asfortranarray(points[:, :3].astype(np.int16)))
    assert read(tmp_path / "a.npy") == ([[0, 1, 2], [6, 7, 8]], [3, 9])
    assert read(tmp_path / "b.npy") == ([[0, 1, 2], [6, 7, 8]], None)


def test_bins(tmp_path):
    np.arange(10, dtype=np.float32).tofile(tmp_path / "a.bin")
    assert read(tmp_path / "a.bin", 5) == ([[0, 1, 2], [5, 6, 7]], [3, 8])


PLY = "ply\nformat ascii 1.0\n"
XYZ = "property float x\nproperty float y\nproperty float z\nend_header\n"
NO_POINTS = "POINTS 0\nDATA binary\n"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", r"a\.ply: needs a PLY file, got an empty file"),
        ("ply\n", r"a\.ply: needs a PLY file, got one that begins with b'ply\\n' and has no end_header$"),
        ("ply\n" + "comment\n" * 9000, "and has no end_header in its first 65536 bytes"),
        ("pcd\nend_header\n", r"needs a PLY file, got one that begins with b'pcd\\nend_head'"),
        ("ply\nend_header\n", r"needs a format and one element vertex in its header, got neither"),
        ("ply\nelement vertex 1\n" + XYZ, r"needs a format and one element vertex in its header, got vertex"),
        (PLY + "element face 0\nend_header\n", r"needs a format and one element vertex in its header, got face"),
        (PLY + "element vertex 0\n" * 2 + XYZ, r"needs a format and one element vertex in its header, got vertex, vertex"),
        (PLY + "element vertex 0\nproperty int x\n" + XYZ, r"needs each property of vertex once, got two of x"),
        (PLY + f"element vertex {'9' * 5000}\n" + XYZ, r":3: needs a line of a PLY header, got 'element vertex 99.*\.\.\.'$"),
        (PLY + "element vertex -1\nend_header\n", r"a\.ply:3: needs a line of a PLY header, got 'element vertex -1'"),
        (PLY + "property float x\nend_header\n", r"a\.ply:3: needs a line of a PLY header, got 'property float x'"),
        ("ply\nformat utf 1.0\nend_header\n", r"a\.ply:2: needs a line of a PLY header, got 'format utf 1\.0'"),
        (
            PLY + "element vertex 0\nproperty half y\nend_header\n",
            r"a\.ply:4: needs a line of a PLY header, got 'property half",
        ),
        (PLY + "element vertex 0\nproperty float x\nend_header\n", r"a\.ply: needs columns x y z, got x$"),
        (PLY + "element vertex 0\nproperty list uchar int x\nend_header\n", "needs points without lists, .* got lists in vertex"),
        (PLY + f"element vertex 3\n{XYZ}1 2 3.25\n4 5 6.25\n", "needs 3 points as its header says, got 2 rows; copied incompl"),
        (PLY + f"element vertex 3\n{XYZ}1 2 3\n4 5 6\n", "needs 3 points as its header says, got 12 bytes, which hold 2 at most"),
        (PLY + f"element vertex 1\n{XYZ}1 2 3\n4 5 6\n", "needs 1 points as its header says, got 2 rows"),
        (PLY + f"element vertex 0\n{XYZ}1 2 3\n", "needs 0 points as its header says, got 1 rows"),
        (PLY + f"element vertex 2\n{XYZ}1 2 3.25\n4 5", r"a\.ply:9: needs 3 numbers as its header says, got 2: '4 5'"),
        (PLY + f"element vertex 2\n{XYZ}1 2 3\n\n4 5 6 7\n", r"a\.ply:10: needs 3 numbers as its header says, got 4: '4 5 6 7'"),
        (PLY + f"element vertex 2\n{XYZ}1 2 3 0\n4 5 6 0\n", r"a\.ply:8: needs 3 numbers as its header says, got 4: '1 2 3 0'"),
        (PLY + f"element vertex 1\n{XYZ}1 2 pi\n", r"a\.ply:8: needs 3 numbers as its header says, got '1 2 pi'"),
        (PLY + f"element vertex 1\n{XYZ}1 2 1_0\n", r"a\.ply:8: needs 3 numbers as its header says, got '1 2 1_0'"),
        (PLY + f"element vertex 1\n{XYZ}1 2 \x1a\n", r"a\.ply:8: needs 3 numbers as its header says, got '1 2 .x1a'"),
        (PLY + f"element camera 1\nproperty int f\nelement vertex 1\n{XYZ}7\n", "needs 1 points as its header says, got 2 bytes"),
        (
            PLY + f"element camera 2\nproperty int f\nelement vertex 1\n{XYZ}7\n1 2 3\n",
            "needs 1 points and 2 rows of other elements as its header says, got 0 of 2 rows",
        ),
        (PLY + "element vertex 1\nproperty uchar intensity\n" + XYZ + "300 1 2 3\n", "needs uint8 in column intensity.* got 300"),
        (PLY + f"element vertex 10000000000000\n{XYZ}1 2 3\n", "needs 10000000000000 points as its header says, got 6 bytes"),
    ],
)
def test_plys_that_are_wrong(tmp_path, content, message):
    (tmp_path / "a.ply").write_text(content)
    with pytest.raises(InputError, match=message):
        formats.read(tmp_path / "a.ply", 4)


@pytest.mark.parametrize(
    "content, message",
    [
        ("junk", r"a\.pcd: needs a PCD file, got one that begins with b'junk' and has no DATA"),
        ("FIELDS x\nSIZE 4\nTYPE F\nCOUNT 0\n" + NO_POINTS, "got FIELDS x; SIZE 4; TYPE F; COUNT 0; POINTS 0; DATA binary$"),
        ("FIELDS x\nSIZE 8\nTYPE F\nCOUNT 999999999\n" + NO_POINTS, "COUNT 999999999; POINTS 0; DATA binary$"),
        ("FIELDS x x\nSIZE 4 4\nTYPE F F\n" + NO_POINTS, "got FIELDS x x; SIZE 4 4; TYPE F F; POINTS 0; DATA binary$"),
        (f"FIELDS x\nSIZE 4\nTYPE F\nPOINTS {'9' * 5000}\nDATA ascii\n", r"POINTS 9{50}\.\.\.; DATA ascii$"),
        ("VERSION 0.7\nDATA binary\n", r"needs FIELDS SIZE TYPE COUNT POINTS DATA as PCD 0\.7 has them, got DATA binary$"),
        ("FIELDS x y\nSIZE 4\nTYPE F F\n" + NO_POINTS, "got FIELDS x y; SIZE 4; TYPE F F; POINTS 0; DATA binary$"),
        ("FIELDS x\nSIZE 3\nTYPE F\n" + NO_POINTS, "got FIELDS x; SIZE 3; TYPE F; POINTS 0; DATA binary$"),
        ("FIELDS x\nSIZE 4\nTYPE F\nPOINTS 0\nDATA morse\n", "got FIELDS x; SIZE 4; TYPE F; POINTS 0; DATA morse$"),
        ("FIELDS x y\nSIZE 4 4\nTYPE F F\n" + NO_POINTS, r"a\.pcd: needs columns x y z, got x y$"),
    ],
)
def test_pcds_that_are_wrong(tmp_path, content, message):
    (tmp_path / "a.pcd").write_text(content)
    with pytest.raises(InputError, match=message):
        formats.read(tmp_path / "a.pcd", 4)


def test_arrays_and_bins_that_are_wrong(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"junk and more")
    with pytest.raises(InputError, match=r"a\.npy: needs an array of NumPy, got: the magic string is not correct"):
        formats.read(tmp_path / "a.npy", 4)
    (tmp_path / "a.bin").write_bytes(b"12345")
    message = r"a\.bin: needs a multiple of 16 bytes \(4 columns of float32\), got 5, those of 0\.3125 points; copied"
    with pytest.raises(InputError, match=message):
        formats.read(tmp_path / "a.bin", 4)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2)), np.zeros((2, 3), complex), np.zeros((2, 3, 4))])
def test_arrays_that_are_no_clouds(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=r"a\.npy: needs numbers in rows of 3, or of 4 or more with intensity, got \("):
        formats.survey(tmp_path / "a.npy", 4)


def test_an_array_with_pickles_is_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print, 1, 2]], object))
    with pytest.raises(InputError, match=r"needs numbers in rows of 3.*got \(1, 3\) object"):
        formats.read(tmp_path / "a.npy", 4)


@pytest.mark.parametrize("name", ["a.ply", "b.ply", "a.pcd", "a.npy"])
def test_cut_off(tmp_path, name):
    """Found by file size, before reading; Open3D would return uninitialised memory."""
    ply(tmp_path / "a.ply", XYZI, ROWS)
    ply(tmp_path / "b.ply", XYZI, ROWS, "binary_big_endian")
    pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS)
    np.save(tmp_path / "a.npy", np.array(ROWS))
    path = tmp_path / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-3])
    message = rf"{name}: needs {size} bytes for 2 points as its header says, got {size - 3} bytes, those of 1\.\d+ points; copied"
    with pytest.raises(InputError, match=message):
        formats.survey(path, 4)


@pytest.mark.parametrize("data", [*PLY_DATA, *PCD_DATA, "npy"])
def test_cut_off_anywhere(tmp_path, data):
    """Of text the last digits may be lost without a sign."""
    if data == "npy":
        path = tmp_path / "a.npy"
        np.save(path, np.array(ROWS))
    elif data in PCD_DATA[1:]:
        path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data)
    else:
        path = ply(tmp_path / "a.ply", XYZI, ROWS, data)
    whole = path.read_bytes()
    for size in range(len(whole) - (6 if data == "ascii" else 0)):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=rf"^{path}(:\d+)?: needs "):
            formats.read(path, 4)


@pytest.mark.parametrize("name", ["a.ply", "b.ply", "a.pcd", "a.npy"])
def test_more_than_the_header_says(tmp_path, name):
    ply(tmp_path / "a.ply", XYZI, ROWS, num=1)
    ply(tmp_path / "b.ply", XYZI, ROWS, "binary_big_endian", num=1)
    pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, num=1)
    np.save(tmp_path / "a.npy", np.array(ROWS[:1], np.float32))
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(b"\0" * 16)
    with pytest.raises(InputError, match=r"for 1 points as its header says, got \d+ bytes, those of 2 points; another count"):
        formats.survey(tmp_path / name, 4)


@pytest.mark.parametrize("data", PLY_DATA)
@pytest.mark.parametrize("change", [-1, 0, 1])
def test_points_of_a_mesh(tmp_path, data, change):
    """Faces of 3 and 4 corners after the points; a header that says one point more or fewer than there are is found by check."""
    after = "element face 2\nproperty list uchar ushort vertex_indices\nproperty uchar flag\n"
    path = ply(tmp_path / "a.ply", XYZI, ROWS * 10, data, after=after, num=20 + change)
    order = ">" if "big" in data else "<"
    binary = struct.pack(order + "BHHHBBHHHHB", 3, 0, 1, 2, 9, 4, 0, 1, 2, 3, 9)
    path.write_bytes(path.read_bytes() + (b"3 0 1 2 9\n4 0 1 2 3 9\n" if data == "ascii" else binary))
    if not change:
        formats.check(path, 4)
        assert len(read(path)[0]) == 20
        return
    with pytest.raises(InputError, match=rf"a\.ply: needs (\d+ bytes for )?{20 + change} points .*as its header says, got"):
        formats.check(path, 4)


@pytest.mark.parametrize("data", PCD_DATA)
def test_width_and_height_are_not_the_points(tmp_path, data):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data)
    path.write_bytes(path.read_bytes().replace(b"WIDTH 2", b"WIDTH 1"))
    with pytest.raises(InputError, match="in WIDTH x HEIGHT as in POINTS, got WIDTH 1 x HEIGHT 1 = 1, POINTS 2"):
        formats.survey(path, 4)


@pytest.mark.parametrize("data", PCD_DATA)
def test_no_points_in_the_header_and_some_in_the_file(tmp_path, data):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data, num=0)
    with pytest.raises(InputError, match=r"needs (0 points|data that give 0 bytes|.* for 0 points) .*, got"):
        formats.read(path, 4)


@pytest.mark.parametrize("data", ["binary", "binary_compressed"])
def test_the_last_page_that_old_pcl_wrote(tmp_path, data):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data)
    whole = path.read_bytes()
    size = len(whole) - whole.index(data.encode() + b"\n") - len(data) - 1 + 4096
    path.write_bytes(whole.ljust(size, b"\0"))
    assert read(path) == ([[1, 2, 3], [-4.5, 0, 1000]], [0.5, 0.25])
    path.write_bytes(whole.ljust(size + 1, b"\0"))
    with pytest.raises(InputError, match="for 2 points as its header says, got"):
        formats.survey(path, 4)


def test_rows_of_a_text_file_are_counted_before_the_run(tmp_path):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS * 20, "ascii", num=10)
    assert formats.survey(path, 4).num == 10
    with pytest.raises(InputError, match="needs 10 points as its header says, got 40 rows; another count in the header"):
        formats.check(path, 4)


@pytest.mark.parametrize(("row", "got"), [("1 2 3", 3), ("1 2 3 4 5", 5), ("1\t2 3\t4 x", 5)])
def test_words_of_a_text_file_are_counted_before_the_run(tmp_path, row, got):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, "ascii")
    path.write_text(path.read_text().replace("-4.5 0.0 1000.0 0.25", row))
    with pytest.raises(InputError, match=rf"a\.pcd:13: needs 4 numbers as its header says, got {got}: '1"):
        formats.check(path, 4)


# -- line ends ------------------------------------------------------------------------------------------------------------
ENDINGS = {"cr": b"\r", "crlf": b"\r\n", "lfcr": b"\n\r"}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("data", PLY_DATA)
@pytest.mark.parametrize("first", [10.0, 13.0, 0.5])
def test_line_ends_of_a_ply(tmp_path, ending, data, first):
    """Also where the data begin with a byte that could be one."""
    columns = {"intensity": "uchar", "x": "float", "y": "float", "z": "float"}
    path = ply(tmp_path / "a.ply", columns, [(int(first), 1, 2, 3), (4, 5, 6, 7)], data)
    head, _, body = path.read_bytes().partition(b"end_header\n")
    head = (head + b"end_header\n").replace(b"\n", ending)
    path.write_bytes(head + (body.replace(b"\n", ending) if data == "ascii" else body))
    assert read(path) == ([[1, 2, 3], [5, 6, 7]], [int(first), 4])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == ([[1, 2, 3], [5, 6, 7]], [int(first), 4])


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("data", PCD_DATA)
def test_line_ends_of_a_pcd(tmp_path, ending, data):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, ROWS, data)
    mark = f"DATA {data}\n".encode()
    head, _, body = path.read_bytes().partition(mark)
    head = b"\xef\xbb\xbf" + (head + mark).replace(b"\n", ending)
    path.write_bytes(head + (body.replace(b"\n", ending) if data == "ascii" else body))
    assert read(path) == ([[1, 2, 3], [-4.5, 0, 1000]], [0.5, 0.25])


def test_a_comment_with_a_line_end_of_its_own(tmp_path):
    path = ply(tmp_path / "a.ply", XYZI, ROWS)
    path.write_bytes(path.read_bytes().replace(b"comment by hand\n", b"comment by hand\r\n"))
    assert read(path)[1] == [0.5, 0.25]


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be"])
def test_utf_16_is_named(tmp_path, coding):
    text = "\ufeff" * (coding != "utf-16") + "ply\nformat ascii 1.0\n"
    (tmp_path / "a.ply").write_bytes(text.encode(coding))
    with pytest.raises(InputError, match=r"a\.ply: needs a PLY file of ASCII text, got UTF-16; save it as ASCII or UTF-8"):
        formats.survey(tmp_path / "a.ply", 4)


# -- binary_compressed ----------------------------------------------------------------------------------------------------
def test_compressed_that_is_cut_off(tmp_path):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, [], "binary_compressed", num=1)
    with pytest.raises(InputError, match="needs data that give 16 bytes of 1 points, got 0 bytes that claim to give 0; copied"):
        formats.survey(path, 4)
    size = path.stat().st_size + 10
    path.write_bytes(path.read_bytes() + np.array([2, 16], np.uint32).tobytes() + b"1")
    with pytest.raises(InputError, match=f"needs {size} bytes for 1 points as its header says, got {size - 1} bytes; copied"):
        formats.survey(path, 4)


def test_compressed_data_that_claim_more_than_they_can_give(tmp_path):
    num = 2**28 - 1
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, [], "binary_compressed", num=num)
    path.write_bytes(path.read_bytes() + np.array([1000, 16 * num], np.uint32).tobytes() + bytes(1000))
    with pytest.raises(InputError, match=f"got 1000 bytes that claim to give {16 * num}; copied incompletely"):
        formats.survey(path, 4)


@pytest.mark.parametrize("body", [b"\xff" * 20, b"\x1f" * 20, b"\0a" * 10, b"\0\0\xe0\xff\0" * 4])
def test_compressed_data_that_are_damaged(tmp_path, body):
    path = pcd(tmp_path / "a.pcd", PCD_XYZI, [], "binary_compressed", num=4)
    path.write_bytes(path.read_bytes() + np.array([20, 64], np.uint32).tobytes() + body)
    with pytest.raises(InputError, match=r"a\.pcd: needs 4 points, got LZF data that do not decompress to them; damaged\?"):
        formats.read(path, 4)


# -- files that are none --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.npy", "a.bin"])
def test_a_folder_or_a_pipe_of_this_name(tmp_path, name):
    (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / f"f{name}")
    for path, got in ((tmp_path / name, "a folder"), (tmp_path / f"f{name}", "a named pipe")):
        with pytest.raises(InputError, match=f"{name}: needs a file, got {got}$"):
            formats.survey(path, 4)


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.npy", "a.bin"])
def test_a_link_to_nothing(tmp_path, name):
    (tmp_path / name).symlink_to("gone")
    with pytest.raises(InputError, match=f"{name}: is a link to gone, which is not there"):
        formats.read(tmp_path / name, 4)


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.npy", "a.bin"])
def test_a_file_that_may_not_be_read(tmp_path, name, monkeypatch):
    def denied(*args):
        raise PermissionError(13, "Permission denied")

    (tmp_path / name).write_bytes(b"")
    with monkeypatch.context() as here:  # not while pytest removes its folders
        here.setattr("os.open", denied)
        with pytest.raises(InputError, match=rf"{name}: may not be read \(Permission denied\)"):
            formats.read(tmp_path / name, 4)


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(InputError, match=r"gone\.ply: needs to be readable, got No such file or directory"):
        formats.read(tmp_path / "gone.ply", 4)
