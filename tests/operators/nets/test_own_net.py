"""Class names of a net, from the config or from the file's metadata. The rest: the tests of its nodes."""

import pytest

from operators.nets.own_net import class_names


@pytest.mark.parametrize(
    ("names", "metadata", "expected"),
    [
        (("a", "b"), {}, ("a", "b")),
        (2, {}, ("0", "1")),
        (None, {"names": "{0: 'person', 1: 'car'}"}, ("person", "car")),
        (None, {"names": "{1: 'car', 0: 'person'}"}, ("person", "car")),
        ("", {"names": "['person', 'car']"}, ("person", "car")),
        (("a",), {"names": "['person', 'car']"}, ("a",)),
    ],
)
def test_names(names, metadata, expected):
    assert class_names(names, metadata) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "person, car",
        "{0: 'person', 2: 'car'}",
        "{'a': 'b'}",
        "{}",
        "[]",
        "7",
        "__import__('os')",
        "(" * 1000,
        "[" + "'a'," * 400_000 + "]",
    ],
)
def test_metadata_that_has_none(text):
    with pytest.raises(ValueError, match=r"^names: needs the names of the net's classes .*, got none$"):
        class_names(None, {"names": text})


@pytest.mark.parametrize("number", [0, -1, 10**9])
def test_a_number_that_is_none(number):
    with pytest.raises(ValueError, match=rf"^names: needs 1..100000 classes, got {number}$"):
        class_names(number, {})


def test_a_file_with_windows_lines(tmp_path):
    path = tmp_path / "n.names"
    path.write_bytes(b"\xef\xbb\xbfperson\r\ntraffic light\r\n\r\n")
    assert class_names(str(path), {}) == ("person", "traffic light")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^names: needs one or more names, got none in .*n.names$"):
        class_names(str(path), {})
