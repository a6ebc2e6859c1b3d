"""KAIST's miss rate, slow and obvious: one image, one result, one person at a time, on the objects of the files."""

import math

RATES = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)


def ignored(person, heights, occlusions):
    x, y, w, h = person["bbox"]
    if person["category_id"] != 1 or person.get("ignore", 0):
        return True
    if x < 5 or y < 5 or x + w > 635 or y + h > 507:
        return True
    return not heights[0] <= person.get("height", h) <= heights[1] or person.get("occlusion", 0) not in occlusions


def shared(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return w * h if w > 0 and h > 0 else 0.0


def of_image(persons, results, heights, occlusions):
    """Number of persons that count; (score, right) of each result that is not forgiven, by falling score."""
    regions = [person for person in persons if ignored(person, heights, occlusions)]
    free = [person for person in persons if person not in regions]
    needed, out = len(free), []
    for result in sorted(results, key=lambda row: -row["score"]):
        box = result["bbox"]
        area = box[2] * box[3]
        best, overlap = None, 0.5
        for person in free:
            part = shared(box, person["bbox"])
            iou = part / (area + person["bbox"][2] * person["bbox"][3] - part) if part else 0
            if iou >= overlap:
                best, overlap = person, iou
        if best is not None:
            free.remove(best)
            out.append((result["score"], True))
        elif not any(shared(box, region["bbox"]) >= 0.5 * area > 0 for region in regions):
            out.append((result["score"], False))
    return needed, out


def miss_rate(images, truth, results, heights=(55, math.inf), occlusions=(0, 1)):
    """images: ids. None if no person counts. Persons in images without a result count only if no image has a result."""
    needed, rows, silent = 0, [], 0
    for image in images:
        of_it = [row for row in results if row["image_id"] == image]
        count, found = of_image([p for p in truth if p["image_id"] == image], of_it, heights, occlusions)
        needed, silent = needed + count * bool(of_it), silent + count * (not of_it)
        rows += found
    needed = needed or silent
    if not needed:
        return None
    rows.sort(key=lambda row: -row[0])
    total = 0.0
    for rate in RATES:
        missed, hits, wrong = 1.0, 0, 0
        for _, right in rows:
            hits, wrong = hits + right, wrong + (not right)
            if wrong / len(images) <= rate:
                missed = 1 - hits / needed
        total += math.log(max(missed, 1e-10))
    return math.exp(total / len(RATES))
