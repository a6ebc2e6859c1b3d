"""FairMOT's net: its published heads, the size of its maps, its config."""

import re

import pytest

torch = pytest.importorskip("torch")

from operators.nets.fairmot import Fairmot, Identities, at_places, num_parameters  # noqa: E402
from operators.nets.fairmot_config import FairmotNetConfig  # noqa: E402
from operators.streams import CLASSES  # noqa: E402

SMALL = {"stage_channels": (4, 8), "feature_channels": 4, "head_channels": 4, "embedding": 3}


def test_heads_have_the_published_number_of_parameters():
    """3x3 to 256, 1x1 to 1, 2, 2 and 128 channels, from the 64 that DLA-34 gives."""
    net = Fairmot(FairmotNetConfig())
    wide = 64 * 256 * 9 + 256
    assert {name: num_parameters(getattr(net, name)) for name in ("heat", "size", "offset", "looks")} == {
        "heat": wide + 256 + 1,
        "size": wide + 2 * 256 + 2,
        "offset": wide + 2 * 256 + 2,
        "looks": wide + 128 * 256 + 128,
    }
    assert wide == 147_712


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (48, 40)])
def test_maps_have_a_quarter_of_the_size(height, width):
    maps = Fairmot(FairmotNetConfig(image_size=(16, 16), **SMALL)).eval()(torch.zeros(2, height, width, 3, dtype=torch.uint8))
    assert [tuple(m.shape) for m in maps] == [(2, k, height // 4, width // 4) for k in (1, 2, 2, 3)]


def test_before_training_objects_are_rare():
    torch.manual_seed(0)
    maps = Fairmot(FairmotNetConfig(image_size=(16, 16), **SMALL)).eval()(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
    assert maps.heat.sigmoid().max() < 0.05


def test_looks_are_compared_by_direction():
    """The length of an embedding does not change the identity."""
    torch.manual_seed(0)
    who, looks = Identities(3, 10), torch.randn(4, 3)
    torch.testing.assert_close(who(looks), who(7 * looks))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": (1080, 608)}, "image_size: needs multiples of 32, the coarsest stride, got [1080, 608]"),
        ({"class_names": ("Dog",)}, f"class_names: needs names of {', '.join(CLASSES)}, got Dog"),
        ({"class_names": ()}, "class_names: needs one or more different names, got none"),
        ({"embedding": 0}, "embedding: needs 1..512, got 0"),
        ({"stage_channels": ()}, "stage_channels: needs 1 to 6 numbers of 1 to 2048, got []"),
    ],
)  # fmt: skip
def test_wrong_config(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FairmotNetConfig(**config)


def test_at_places():
    map_ = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert at_places(map_, torch.tensor([[1, 2, 3], [0, 0, 0]])).tolist() == [
        map_[1, :, 2, 3].tolist(),
        map_[0, :, 0, 0].tolist(),
    ]
    assert at_places(map_, torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)
