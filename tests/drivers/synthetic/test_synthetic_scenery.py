import numpy as np
import pytest
import solids

from drivers.synthetic import scenery
from drivers.synthetic.materials import BUILDING, FENCE, FOLIAGE, MATERIALS, POLE, TRUNK, WALL, WINDOW

MAKERS = {
    "house": lambda r: scenery.house(r, 12.0, 9.0),
    "tree": scenery.tree,
    "bush": scenery.bush,
    "hedge": lambda r: scenery.hedge(r, 8.0),
    "wall": lambda r: scenery.wall(r, 8.0),
    "fence": lambda r: scenery.fence(r, 8.0),
    "pole": scenery.pole,
    "clutter": scenery.clutter,
}
COUNT = 30


def make(kind, number=0):
    return MAKERS[kind](np.random.default_rng([7, number]))


@pytest.mark.parametrize("kind", MAKERS)
def test_every_part_is_closed_and_faces_outward(kind):
    """Except window panes, which lie on walls."""
    for number in range(COUNT):
        mesh = make(kind, number)
        for part in solids.parts(mesh.triangles[mesh.materials != WINDOW]):
            assert solids.open_edges(part) == 0 and solids.volume(part) > 0
        panes = mesh.triangles[mesh.materials == WINDOW]
        if kind == "house":
            assert (np.cross(panes[:, 1] - panes[:, 0], panes[:, 2] - panes[:, 0])[:, 1] < 0).all(), "towards the street"
            assert (panes[..., 1] == np.float64(-0.03)).all(), "just before the facade"


@pytest.mark.parametrize("kind", MAKERS)
def test_meshes_are_sound(kind):
    for number in range(COUNT):
        triangles, materials, colors = make(kind, number)
        assert 0 < len(triangles) == len(materials) == len(colors) < 400
        assert np.isfinite(triangles).all() and solids.areas(triangles).min() > 1e-5
        assert (colors >= 0).all() and (colors <= 1).all() and (materials < len(MATERIALS.names)).all()
        assert -1.5 < triangles[..., 2].min() < 0.3, "it stands on the ground, or a little in it"


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("house", (12, 9, 3.5), (22, 12, 14.5)),
        ("tree", (1.5, 1.5, 3.5), (14, 14, 15)),
        ("bush", (0.3, 0.3, 0.3), (6, 6, 3.5)),
        ("hedge", (7, 0.3, 0.5), (9.5, 1.6, 2.8)),
        ("wall", (8, 0.15, 0.5), (8, 0.35, 2.2)),
        ("fence", (8, 0.09, 0.8), (8.1, 0.09, 1.8)),
        ("pole", (0.07, 0.07, 0.6), (0.9, 1.6, 8.1)),
        ("clutter", (0.3, 0.3, 0.8), (4.0, 1.9, 3.2)),
    ],
)
def test_sizes(kind, low, high):
    sizes = np.array([make(kind, number).size for number in range(COUNT)])
    assert (sizes >= np.array(low) - 1e-9).all() and (sizes <= np.array(high) + 1e-9).all()


@pytest.mark.parametrize(
    ("kind", "materials"),
    [("house", {BUILDING, WINDOW}), ("tree", {TRUNK, FOLIAGE}), ("wall", {WALL}), ("fence", {FENCE}), ("hedge", {FOLIAGE})],
)
def test_what_they_are_made_of(kind, materials):
    assert all(materials <= set(make(kind, number).materials.tolist()) for number in range(COUNT))


def test_a_pole_is_of_three_kinds():
    heights = sorted(make("pole", number).size[2] for number in range(60))
    assert heights[0] < 1.2 and 1.9 < np.median(heights) < 4 and heights[-1] > 4.5
    assert all(POLE in make("pole", number).materials for number in range(20))


@pytest.mark.parametrize("kind", MAKERS)
def test_same_seed_same_bytes_another_seed_another_thing(kind):
    first, again, other = (make(kind, number).triangles for number in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()
