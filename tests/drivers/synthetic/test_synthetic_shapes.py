import hashlib

import numpy as np
import pytest
import solids

from drivers.synthetic import shapes
from drivers.synthetic.materials import CAR_GLASS, CAR_PAINT, HAIR, HEADLIGHT, MATERIALS, PLATE, SKIN, TAIL_LIGHT, TYRE
from drivers.synthetic.shapes import FAMILIES

MAKERS = {
    "car": shapes.car, "van": shapes.van, "truck": shapes.truck, "pedestrian": shapes.pedestrian, "cyclist": shapes.cyclist,
}  # fmt: skip
WALKERS = ("pedestrian", "cyclist")
COUNT = 40


def body(kind, family, number, phase=0.0):
    random = shapes.generator(family, kind, number)
    return MAKERS[kind](random, family, phase) if kind in WALKERS else MAKERS[kind](random, family)


@pytest.fixture(scope="module")
def bodies():
    """(kind, family) -> COUNT bodies."""
    return {(kind, family): [body(kind, family, k, k / COUNT) for k in range(COUNT)] for kind in MAKERS for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_every_part_is_closed_and_faces_outward(bodies, kind, family):
    for one in bodies[kind, family][:12]:
        for part in solids.parts(one.mesh.triangles):
            assert solids.open_edges(part) == 0 and solids.volume(part) > 0


# nearly all of KITTI's training labels lie within these; beside them the means of cars, pedestrians and cyclists
BOUNDS = {
    "car": ((3.0, 1.4, 1.2), (5.2, 1.95, 1.95), (3.9, 1.63, 1.53)),
    "van": ((3.7, 1.5, 1.6), (6.5, 2.3, 2.9), (5.0, 1.9, 2.2)),
    "truck": ((6.0, 2.1, 2.6), (10.5, 2.6, 3.5), None),
    "pedestrian": ((0.4, 0.4, 1.0), (1.2, 0.95, 2.1), (0.8, 0.6, 1.75)),
    "cyclist": ((1.5, 0.5, 1.6), (2.0, 0.8, 2.1), (1.76, 0.6, 1.73)),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_sizes_are_like_kittis(bodies, kind, family):
    sizes = np.array([one.size for one in bodies[kind, family]])
    low, high, mean = BOUNDS[kind]
    assert (sizes >= low).all() and (sizes <= high).all()
    if mean:
        np.testing.assert_allclose(sizes.mean(0), mean, rtol=0.1)
    assert len({tuple(size) for size in sizes.tolist()}) > 0.9 * COUNT


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_body_stands_on_the_ground_and_fills_its_box(bodies, kind, family):
    """Annotators leave out protruding parts: mirrors and bags to the side, hands and bags ahead."""
    beyond = np.array({"pedestrian": (0.1, 0.15, 0.0), "truck": (0, 0, 0)}.get(kind, (0.03, 0.13, 0.02))) + 1e-9
    for one in bodies[kind, family]:
        low, high = one.mesh.bounds
        half = np.array([one.size[0] / 2, one.size[1] / 2, one.size[2]])
        assert 0 <= low[2] < 0.03
        assert (high <= half + beyond).all() and (low[:2] >= -(half + beyond)[:2]).all()
        least = 0.35 if kind == "pedestrian" else 0.9  # with closed legs a walker is shorter than the box of its stride
        assert high[2] > 0.98 * half[2] and ((high - low)[:2] > least * np.array(one.size[:2])).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_meshes_are_sound(bodies, kind):
    for family in FAMILIES:
        for one in bodies[kind, family]:
            triangles, materials, colors = one.mesh
            assert 100 < len(triangles) < 600 and len(triangles) == len(materials) == len(colors)
            assert np.isfinite(triangles).all() and solids.areas(triangles).min() > 1e-5
            assert (colors >= 0).all() and (colors <= 1).all()
            assert ((materials >= 0) & (materials < len(MATERIALS.names))).all()


def test_what_they_are_made_of(bodies):
    made = {kind: [set(one.mesh.materials.tolist()) for one in bodies[kind, "train"]] for kind in MAKERS}
    for kind in ("car", "van"):
        assert all({CAR_PAINT, CAR_GLASS, TYRE, PLATE, HEADLIGHT, TAIL_LIGHT} <= of for of in made[kind])
    assert all({CAR_PAINT, CAR_GLASS, TYRE} <= of for of in made["truck"])
    assert all({SKIN, HAIR} <= of for of in made["pedestrian"] + made["cyclist"])
    assert all(TYRE in of for of in made["cyclist"]) and not any(TYRE in of for of in made["pedestrian"])


def test_lights_are_where_they_belong(bodies):
    for one in bodies["car", "train"]:
        ahead = one.mesh.triangles[..., 0].mean(1)
        assert ahead[one.mesh.materials == HEADLIGHT].min() > 1 and ahead[one.mesh.materials == TAIL_LIGHT].max() < -1


def digest(one):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in one.mesh)).hexdigest()


@pytest.mark.parametrize("kind", MAKERS)
def test_families_share_no_body_and_no_two_are_alike(bodies, kind):
    digests = [digest(one) for family in FAMILIES for one in bodies[kind, family]]
    assert len(set(digests)) == 2 * COUNT
    sizes = [one.size for family in FAMILIES for one in bodies[kind, family]]
    assert kind == "cyclist" or len(set(sizes)) == 2 * COUNT


@pytest.mark.parametrize("kind", MAKERS)
def test_same_number_same_body(kind):
    assert digest(body(kind, "test", 5)) == digest(body(kind, "test", 5))


@pytest.mark.parametrize("kind", WALKERS)
def test_a_walker_moves_and_keeps_its_size(kind):
    poses = [body(kind, "train", 3, phase / 6) for phase in range(6)]
    assert len({digest(one) for one in poses}) == 6
    assert len({one.size for one in poses}) == 1 and len({len(one.mesh.triangles) for one in poses}) == 1
    moved = np.ptp([one.mesh.triangles for one in poses], axis=0).max(-1)
    assert 0.05 < moved.max() < 0.8
