"""Small data sets in the layouts of published panoptic sets, written by hand."""

import json
import struct
import zlib

import cv2
import numpy as np

SIZE = (6, 8)


def picture(path, value, size=SIZE):
    """A colour picture whose pixels are all (value, value + 1, value + 2); of a JPEG about that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.full((*size, 3), (value, value + 1, value + 2), np.uint8)
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])


def label_png(path, labels, kind=None, bits=None):
    """labels (H, W) or (H, W, 3) as they are. kind: of PNG, 3 = palette (the index is the label); None: grey or RGB."""
    labels = np.asarray(labels)
    kind = (2 if labels.ndim == 3 else 0) if kind is None else kind
    bits = (16 if labels.max(initial=0) > 255 else 8) if bits is None else bits
    rows = []
    for row in labels.reshape(len(labels), -1):
        if bits == 16:
            rows.append(row.astype(">u2").tobytes())
        else:
            few = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
            rows.append(np.packbits(few.ravel()).tobytes())
    head = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], bits, kind, 0, 0, 0)
    palette = bytes(255 - i // 3 for i in range(3 << bits)) if kind == 3 else b""
    chunks = [(b"IHDR", head), *([(b"PLTE", palette)] if palette else [])]
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks))


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def blocks(*ids, size=SIZE):
    """(H, W): the ids side by side, in columns as equal as they can be."""
    columns = np.array_split(np.arange(size[1]), len(ids))
    row = np.concatenate([np.full(len(part), value) for part, value in zip(columns, ids, strict=True)])
    return np.tile(row, (size[0], 1))


def rgb_ids(ids):
    ids = np.asarray(ids, np.int64)
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16], 2).astype(np.uint8)


def cityscapes(root, split="val", shots=None, cameras=False, labels="gtFine"):
    """shots: (city, number) -> ids of its label picture, or None without one."""
    for k, ((city, number), ids) in enumerate((shots or {("aachen", 19): blocks(7, 26001)}).items()):
        stem = f"{city}_000000_{number:06d}"
        picture(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", 10 * k)
        if ids is not None:
            label_png(root / f"{labels}/{split}/{city}/{stem}_{labels}_instanceIds.png", ids, bits=16)
        if cameras:
            path = root / f"camera/{split}/{city}/{stem}_camera.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            intrinsic = {"fx": 2262.52, "fy": 2265.30, "u0": 1096.98, "v0": 513.137 + (city != "aachen")}
            path.write_text(json.dumps({"extrinsic": {"x": 1.7}, "intrinsic": intrinsic}))
    return root


def idd(root, split="val", tail="_gtFine_instancelevel3Ids.png", shots=None, suffix=".png"):
    for k, ((drive, frame), ids) in enumerate((shots or {("201", "frame0029"): blocks(0, 9001)}).items()):
        picture(root / f"leftImg8bit/{split}/{drive}/{frame}_leftImg8bit{suffix}", 10 * k)
        label_png(root / f"gtFine/{split}/{drive}/{frame}{tail}", ids, bits=16)
    return root


def kitti_panoptic(root, split="validation", shots=None):
    for k, (name, ids) in enumerate((shots or {"000000_10": blocks(7, 26001)}).items()):
        picture(root / f"{split}/images/{name}.png", 10 * k)
        label_png(root / f"{split}/annotations/{name}.png", rgb_ids(ids))
    return root


VISTAS = [
    ("animal--bird", True, True),
    ("construction--flat--road", False, True),
    ("object--vehicle--car", True, True),
    ("nature--sky", False, True),
    ("void--unlabeled", False, False),
]


def vistas(root, split="validation", version="v1.2", shots=None, folder="v1.2/instances", config="config_v1.2.json", size=SIZE):
    root.mkdir(parents=True, exist_ok=True)
    labels = [{"name": n, "readable": n, "instances": i, "evaluate": e, "color": [1, 2, 3]} for n, i, e in VISTAS]
    (root / config).write_text(json.dumps({"labels": labels, "version": version}))
    for k, (name, ids) in enumerate((shots or {"_0a": blocks(256, 2 * 256, 2 * 256 + 1)}).items()):
        picture(root / f"{split}/images/{name}.jpg", 10 * k, size)
        label_png(root / f"{split}/{folder}/{name}.png", ids, bits=16)
    return root


VKITTI_COLORS = {
    "Terrain": (210, 0, 200), "Sky": (90, 200, 255), "Tree": (0, 199, 0), "Vegetation": (90, 240, 0), "Building": (140, 140, 140),
    "Road": (100, 60, 100), "GuardRail": (250, 100, 255), "TrafficSign": (255, 255, 0), "TrafficLight": (200, 200, 0),
    "Pole": (255, 130, 0), "Misc": (80, 80, 80), "Truck": (160, 60, 60), "Car": (255, 127, 80), "Van": (0, 139, 139),
    "Undefined": (0, 0, 0),
}  # fmt: skip


def vkitti2(
    root, sequence="Scene01/clone", frames=2, classes=("Road", "Car", "Car", "Undefined"), instances=(0, 1, 3, 0), camera=0,
    colors=VKITTI_COLORS, apart=False, poses=True,
):  # fmt: skip
    """Frame k is k + 1 in colour; the camera moves 0.5 m ahead a frame. apart: one folder per archive, as they are unpacked."""

    def base(kind):
        return root / (f"vkitti_2.0.3_{kind}" if apart else ".") / sequence

    table = np.array([colors[name] for name in classes], np.uint8)
    for k in range(frames):
        at = f"Camera_{camera}"
        picture(base("rgb") / f"frames/rgb/{at}/rgb_{k:05d}.jpg", 10 * (k + 1))
        label_png(
            base("classSegmentation") / f"frames/classSegmentation/{at}/classgt_{k:05d}.png", table[blocks(*range(len(classes)))]
        )
        label_png(
            base("instanceSegmentation") / f"frames/instanceSegmentation/{at}/instancegt_{k:05d}.png", blocks(*instances), kind=3
        )
    text = base("textgt")
    text.mkdir(parents=True, exist_ok=True)
    (text / "colors.txt").write_text("Category r g b\n" + "".join(f"{n} {r} {g} {b}\n" for n, (r, g, b) in colors.items()))
    if poses:
        lines = ["frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"]
        for k in range(frames):
            for cam in (0, 1):
                M = np.eye(4)
                M[:3, 3] = -0.532725 * cam, 0, -0.5 * k  # world -> camera
                lines.append(f"{k} {cam} " + " ".join(f"{value:g}" for value in M.ravel()))
        (text / "extrinsic.txt").write_text("\n".join(lines) + "\n")
        rows = [f"{k} {cam} 725.0087 725.0087 620.5 187" for k in range(frames) for cam in (0, 1)]
        (text / "intrinsic.txt").write_text("\n".join(["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]", *rows]) + "\n")
    return root


def coco_panoptic(root, shots=None, categories=None, images=True, missing=()):
    """shots: file name -> (ids (H, W), segments_info)."""
    categories = categories or [(1, "person", 1), (200, "rug", 0), (3, "car", 1)]
    shots = shots or {
        "000001.jpg": (blocks(0, 300, 70_000), [{"id": 300, "category_id": 200}, {"id": 70_000, "category_id": 3, "iscrowd": 0}])
    }
    data = {"images": [], "annotations": [], "categories": [{"id": i, "name": n, "isthing": t} for i, n, t in categories]}
    for k, (name, (ids, segments)) in enumerate(shots.items()):
        stem = name.rpartition(".")[0]
        data["images"].append({"id": k + 1, "file_name": name, "width": ids.shape[1], "height": ids.shape[0]})
        data["annotations"].append({"image_id": k + 1, "file_name": f"{stem}.png", "segments_info": segments})
        if name not in missing:
            label_png(root / f"panoptic/{stem}.png", rgb_ids(ids))
        if images:
            picture(root / "images" / name, 10 * k, ids.shape)
    (root / "panoptic.json").write_text(json.dumps(data))
    return root
