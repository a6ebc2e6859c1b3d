"""Small folders in the published layouts of FLIR ADAS (versions 1 and 2), KAIST and LLVIP, written by hand."""

import json

import cv2
import numpy as np

THERMAL, RGB, KAIST, LLVIP = (640, 512), (1800, 1600), (640, 512), (1280, 1024)
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]
CATEGORIES_2 = [
    {"id": 1, "name": "person"},
    {"id": 2, "name": "bike"},
    {"id": 3, "name": "car"},
    {"id": 79, "name": "other vehicle"},
]


def picture(path, size, value=90, kind="jpg", grey=False):
    """A flat picture; kind: jpg, png, tiff (16 bits: value * 256)."""
    shape = (size[1], size[0]) if grey or kind == "tiff" else (size[1], size[0], 3)
    image = np.full(shape, value * 256 if kind == "tiff" else value, np.uint16 if kind == "tiff" else np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(f".{kind}", image)[1].tobytes())
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(files, boxes=(), size=THERMAL, categories=CATEGORIES):
    """files: names in order, ids from 0; boxes: (image id, category id, x, y, w, h[, more])."""
    images = [{"id": i, "file_name": name, "width": size[0], "height": size[1]} for i, name in enumerate(files)]
    annotations = [
        {"id": i, "image_id": box[0], "category_id": box[1], "bbox": list(box[2:6]), "iscrowd": 0}
        | (box[6] if len(box) > 6 else {})
        for i, box in enumerate(boxes)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def flir1(root, split="val", numbers=(8863, 8864, 8865), boxes=(), rgb=RGB, thermal=THERMAL, raw=True):
    """FLIR_ADAS_1_3."""
    folder, stem = root / split, "FLIR_video_" if split == "video" else "FLIR_"
    names = [f"{stem}{number:05d}" for number in numbers]
    for k, name in enumerate(names):
        picture(folder / "RGB" / f"{name}.jpg", rgb, 30 + k)
        picture(folder / "thermal_8_bit" / f"{name}.jpeg", thermal, 60 + k, "jpg", grey=True)
        if raw:
            picture(folder / "thermal_16_bit" / f"{name}.tiff", thermal, 80 + k, "tiff")
    text(folder / "thermal_annotations.json", coco([f"thermal_8_bit/{name}.jpeg" for name in names], boxes, thermal))
    return root


def flir2(root, videos=(("4FRnNpmSmwktFJKjg", (0, 1, 10)), ("SCiKdG3MqZfiE292B", (2,))), boxes=(), rgb=(900, 800)):
    """The videos of FLIR_ADAS_v2: RGB and thermal frames have other names, paired by rgb_to_thermal_vid_map.json."""
    partner, names = {}, []
    for video, frames in videos:
        for frame in frames:
            name = f"video-{video}-frame-{frame:06d}-Hash{frame}"
            rgb_name = f"video-rgb{video}-frame-{frame:06d}-Other{frame}"
            picture(root / "video_rgb_test/data" / f"{rgb_name}.jpg", rgb, 30 + frame)
            picture(root / "video_thermal_test/data" / f"{name}.jpg", THERMAL, 60 + frame, grey=True)
            picture(root / "video_thermal_test/analyticsData" / f"{name}.tiff", THERMAL, 80 + frame, "tiff")
            partner[f"{rgb_name}.jpg"] = f"{name}.jpg"
            names.append(f"data/{name}.jpg")
    text(root / "rgb_to_thermal_vid_map.json", partner)
    text(root / "video_thermal_test/coco.json", coco(names, boxes, categories=CATEGORIES_2))
    return root


BBGT = "% bbGt version=3\n"


def kaist(
    root, videos=(("set06/V000", (0, 1, 2)), ("set09/V001", (19,))), boxes="person 10 20 30 60 1 0 0 0 0 0 0\n", size=KAIST
):
    for video, frames in videos:
        for frame in frames:
            for kind in ("visible", "lwir"):
                picture(root / "images" / video / kind / f"I{frame:05d}.jpg", size, 50 + frame)
            text(root / "annotations" / video / f"I{frame:05d}.txt", BBGT + boxes)
    return root


XML = """<annotation><filename>{name}.jpg</filename><size><width>1280</width><height>1024</height><depth>3</depth></size>
<object><name>person</name><truncated>0</truncated><difficult>0</difficult>
<bndbox><xmin>100</xmin><ymin>200</ymin><xmax>150</xmax><ymax>330</ymax></bndbox></object></annotation>"""


def llvip(root, names=("190001", "190002"), split="test", size=LLVIP):
    for name in names:
        for kind in ("visible", "infrared"):
            picture(root / kind / split / f"{name}.jpg", size, int(name) % 200)
        text(root / "Annotations" / f"{name}.xml", XML.format(name=name))
    return root
