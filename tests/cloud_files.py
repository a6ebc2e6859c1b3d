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
    if data == "binary_compressed" and rows:
        return _compressed(Path(path), header, rows, codes, [count for *_, count in columns])
    return _written(path, header, rows, codes, data, "<")


def _compressed(path, header, rows, codes, counts):
    """Column after column, each with all its numbers of all points, then compressed."""
    data, at = b"", 0
    for count in counts:
        data += b"".join(struct.pack("<" + "".join(codes[at : at + count]), *row[at : at + count]) for row in rows)
        at += count
    packed = lzf(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + struct.pack("<II", len(packed), len(data)) + packed)
    return path


def lzf(data):
    """Compressed as LibLZF does: runs of up to 32 bytes, and references to up to 8 KiB before, of 3 to 264 bytes."""
    out, run, at, seen = bytearray(), bytearray(), 0, {}

    def end_run():
        if run:
            out.append(len(run) - 1)
            out.extend(run)
            run.clear()

    while at < len(data):
        key = data[at : at + 3]
        before = seen.get(key) if len(key) == 3 else None
        seen[key] = at
        if before is None or at - before > 8192:
            run.append(data[at])
            at += 1
            if len(run) == 32:
                end_run()
            continue
        end_run()
        length = 3
        while length < 264 and at + length < len(data) and data[before + length] == data[at + length]:
            length += 1
        distance, short = at - before - 1, min(length - 2, 7)
        out.append(short << 5 | distance >> 8)
        if short == 7:
            out.append(length - 9)
        out.append(distance & 255)
        at += length
    end_run()
    return bytes(out)


def _written(path, header, rows, codes, data, order):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if data == "ascii":
        body = "".join(" ".join(f"{value}" for value in row) + "\n" for row in rows).encode()
    else:
        body = b"".join(struct.pack(order + "".join(codes), *row) for row in rows)
    path.write_bytes(header.encode() + body)
    return path
