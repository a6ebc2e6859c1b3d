"""PLY and PCD files written by hand, one value at a time: the oracle of the drivers that read them."""

import struct
from pathlib import Path

PLY_CODES = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d"}
PCD_CODES = {("F", 4): "f", ("F", 8): "d", ("U", 1): "B", ("U", 2): "H", ("U", 4): "I", ("I", 2): "h", ("I", 4): "i"}


def ply(path, columns, rows, data="binary_little_endian", before="", after="", num=None):
    """columns {name: type}; before, after: header lines of other elements, around the vertices."""
    header = f"ply\nformat {data} 1.0\ncomment by hand\n{before}element vertex {len(rows) if num is None else num}\n"
    header += "".join(f"property {kind} {name}\n" for name, kind in columns.items()) + f"{after}end_header\n"
    return _written(path, header, rows, [PLY_CODES[kind] for kind in columns.values()], data, ">" if "big" in data else "<")


def pcd(path, columns, rows, data="binary", num=None):
    """columns [(name, type letter, size, count)]; a column of several numbers takes as many words of a row."""
    names, kinds, sizes, counts = zip(*columns, strict=True)
    num = len(rows) if num is None else num
    header = f"# .PCD v0.7\nVERSION 0.7\nFIELDS {' '.join(names)}\nSIZE {' '.join(map(str, sizes))}\nTYPE {' '.join(kinds)}\n"
    header += f"COUNT {' '.join(map(str, counts))}\nWIDTH {num}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {num}\nDATA {data}\n"
    codes = [PCD_CODES[kind, size] for _, kind, size, count in columns for _ in range(count)]
    return _written(path, header, rows, codes, data, "<")


def _written(path, header, rows, codes, data, order):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if data == "ascii":
        body = "".join(" ".join(f"{value}" for value in row) + "\n" for row in rows).encode()
    else:
        body = b"".join(struct.pack(order + "".join(codes), *row) for row in rows)
    path.write_bytes(header.encode() + body)
    return path
