"""Lays out FLIR SEQ files after ExifTool's FLIR.pm; no file of a camera."""

import struct

import cv2
import numpy as np

E4 = {"emissivity": 0.95, "reflected_k": 293.15, "r1": 14906.216, "b": 1396.5, "f": 1.0, "o": -7261, "r2": 0.010956882}


def raw_record(counts, order="<", pack="plain"):
    head = struct.pack(f"{order}3H", 2, counts.shape[1], counts.shape[0]) + bytes(0x20 - 6)
    if pack == "png":
        return head + cv2.imencode(".png", counts)[1].tobytes()
    if pack == "swapped png":
        return head + cv2.imencode(".png", counts.byteswap())[1].tobytes()
    if pack == "jpeg-ls":
        return head + b"\xff\xd8\xff\xf7" + bytes(40)
    return head + counts.astype(f"{order}u2").tobytes()


def camera_record(order="<", median=0, **camera):
    record = bytearray(0x400)
    struct.pack_into(f"{order}H", record, 0, 2)
    struct.pack_into(f"{order}f4xf", record, 0x20, camera["emissivity"], camera["reflected_k"])
    struct.pack_into(f"{order}3f", record, 0x58, camera["r1"], camera["b"], camera["f"])
    struct.pack_into(f"{order}if", record, 0x308, camera["o"], camera["r2"])
    struct.pack_into(f"{order}H", record, 0x338, median)
    return bytes(record)


def block(counts, camera=E4, order="<", header_order=">", pack="plain"):
    """One picture. Cameras mix the orders: the directory in one, the records in another."""
    records = {1: raw_record(counts, order, pack)}
    if camera is not None:
        records[0x20] = camera_record(order, int(np.median(counts)) if counts.size else 0, **camera)
    directory = 0x40
    at = directory + 0x20 * (len(records) + 1)
    entries, body = b"", b""
    for kind, record in records.items():
        entries += struct.pack(f"{header_order}2H6I4x", kind, 1, 100, 1, at + len(body), len(record), 0, 0)
        body += record
    entries += bytes(0x20)  # an empty entry
    head = b"FFF\0" + b"CAMCTRL".ljust(16, b"\0") + struct.pack(f"{header_order}3I", 101, directory, len(records) + 1)
    return head.ljust(0x40, b"\0") + entries + body
