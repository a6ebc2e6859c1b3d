import numpy as np
import pytest
import solids

from drivers.synthetic.furniture import MAKERS
from drivers.synthetic.materials import FOLIAGE, MATERIALS, TRUNK, TYRE, WINDOW

COUNT = 40


def make(kind, number=0):
    return MAKERS[kind](np.random.default_rng([7, number]))


@pytest.mark.parametrize("kind", MAKERS)
def test_every_part_is_closed_and_faces_outward(kind):
    for number in range(8 if kind in ("bicycles", "carried") else 20):  # of many parts each
        mesh = make(kind, number)
        for part in solids.parts(mesh.triangles[mesh.materials != WINDOW]):
            assert solids.open_edges(part) == 0 and solids.volume(part) > 0


@pytest.mark.parametrize("kind", MAKERS)
def test_meshes_are_sound(kind):
    for number in range(COUNT):
        triangles, materials, colors = make(kind, number)
        assert 0 < len(triangles) == len(materials) == len(colors) < 1000
        assert np.isfinite(triangles).all() and solids.areas(triangles).min() > 1e-5
        assert (colors >= 0).all() and (colors <= 1).all() and (materials < len(MATERIALS.names)).all()
        assert -0.6 < triangles[..., 2].min() < 0.3, "it stands on the ground, or a little in it"


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("street_trees", (0.5, 0.5, 4.0), (14, 14, 16)),
        ("posts", (0.05, 0.05, 0.3), (6.6, 2.2, 3.7)),
        ("bins", (0.3, 0.3, 0.3), (4.5, 2.0, 1.8)),
        ("bicycles", (0.3, 0.3, 0.9), (3.0, 2.2, 1.2)),
        ("shrubs", (0.3, 0.3, 0.7), (1.5, 1.5, 3.2)),
        ("pillars", (0.15, 0.15, 0.9), (4.5, 0.7, 2.5)),
        ("trailers", (0.7, 0.7, 0.4), (7.5, 7.5, 3.0)),
        ("trams", (14.3, 2.2, 2.6), (15, 2.8, 3.4)),
        ("carried", (0.2, 0.2, 0.5), (2.2, 1.2, 1.2)),
    ],
)
def test_sizes(kind, low, high):
    sizes = np.array([make(kind, number).size for number in range(COUNT)])
    assert (sizes >= np.array(low)).all() and (sizes <= np.array(high)).all()


def test_a_street_tree_is_a_trunk_at_the_height_of_a_person():
    """Its crown begins above a head; a trunk is as thick as a post or as a person."""
    widths = []
    for number in range(COUNT):
        mesh = make("street_trees", number)
        trunk = mesh.triangles[mesh.materials == TRUNK]
        assert trunk[..., 2].max() > 2.4 and {TRUNK, FOLIAGE} <= set(mesh.materials.tolist())
        widths.append(np.ptp(trunk[trunk[..., 2] < 0.05][:, 1]))
    assert min(widths) < 0.3 and max(widths) > 0.55


def test_posts_and_bins_are_as_high_as_people_or_lower():
    heights = np.sort([make("posts", number).size[2] for number in range(200)])
    assert heights[0] < 0.7 and 1.0 < np.median(heights) < 2.0 and heights[-1] > 2.5
    widths = np.sort([make("bins", number).size[0] for number in range(60)])
    assert widths[0] < 0.8 and widths[-1] > 2.0, "one, or a row of them"


def test_bicycles_have_two_wheels_and_nobody_on_them():
    for number in range(COUNT):
        mesh = make("bicycles", number)
        assert TYRE in mesh.materials and mesh.size[2] < 1.2


@pytest.mark.parametrize("kind", MAKERS)
def test_same_seed_same_bytes_another_seed_another_thing(kind):
    first, again, other = (make(kind, number).triangles for number in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()
