"""segment.mfnet: the published architecture and weights, strict and safe loading, real pairs."""

import os

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets import mfnet  # noqa: E402
from operators.segment.mfnet import NAMES, Mfnet, stacked  # noqa: E402
from operators.streams import VOID  # noqa: E402
from pipeline.errors import FrameError, GraphError, InputError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights of the right names and shapes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("mfnet") / "net.pth"
    state = mfnet.MFNet(len(NAMES)).state_dict()
    state["decode1.bn.bias"][0] = 0.5  # some pixels are unlabeled
    torch.save(state, path)
    return path


def segmented(weights, image, thermal, **config):
    (out,) = run_operator(Mfnet, [{"image": image, "thermal": thermal}], {"weights": str(weights)} | config)
    return out


def conv(inputs, outputs):
    """Weights and biases of a 3x3 convolution, and the four numbers per channel of its batch norm."""
    return 9 * inputs * outputs + outputs + 4 * outputs


def encoder(first, channels):
    c1, c2, c3, c4, c5 = channels
    plain = conv(first, c1) + conv(c1, c2) + conv(c2, c2) + conv(c2, c3) + conv(c3, c3)
    return plain + sum(2 * (conv(before, n // 2) + 2 * conv(n, n // 2)) for before, n in ((c3, c4), (c4, c5)))


def test_number_of_parameters():
    """738,773 numbers in the published file: 736,275 trained ones and 2,498 running statistics of batch norm."""
    decoder = conv(132, 64) + conv(64, 64) + conv(64, 32) + conv(32, 9)
    derived = encoder(3, mfnet.RGB) + encoder(1, mfnet.THERMAL) + decoder
    net = mfnet.MFNet(9)
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert sum(tensor.numel() for tensor in state.values()) == derived == 738_773
    trained = sum(parameter.numel() for parameter in net.parameters())
    statistics = sum(tensor.numel() for name, tensor in state.items() if "running" in name)
    assert (trained, statistics) == (736_275, 2_498)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 48)])
def test_scores_have_the_size_of_the_picture(height, width):
    with torch.inference_mode():
        assert mfnet.MFNet(9).eval()(torch.zeros(2, 4, height, width)).shape == (2, 9, height, width)


def test_planes_are_r_g_b_thermal_of_0_to_1_with_repeated_edges():
    image, thermal = np.zeros((17, 30, 3), np.uint8), np.full((17, 30), 51, np.uint8)
    image[..., 0], image[-1, -1] = 255, (0, 102, 255)
    planes = stacked(image, thermal, 16)
    assert planes.shape == (1, 4, 32, 32) and planes.dtype == np.float32
    assert np.allclose(planes[0, :, 0, 0], [1, 0, 0, 0.2]) and np.allclose(planes[0, :, 31, 31], [0, 0.4, 1, 0.2])


def test_any_size(weights):
    rng = np.random.default_rng(1)
    sizes = [(0, 0), (1, 1), (16, 16), (37, 50)]
    sets = [
        {"image": rng.integers(0, 256, (*size, 3), np.uint8), "thermal": rng.integers(0, 256, size, np.uint8)} for size in sizes
    ]
    for size, out in zip(sizes, run_operator(Mfnet, sets, {"weights": str(weights)}), strict=True):
        assert out.shape == size and out.dtype == np.uint8 and (out < len(NAMES)).all()


def test_unlabeled_pixels_may_have_no_class(weights):
    rng = np.random.default_rng(2)
    pair = rng.integers(0, 256, (16, 32, 3), np.uint8), rng.integers(0, 256, (16, 32), np.uint8)
    classes, labelled = segmented(weights, *pair), segmented(weights, *pair, unlabeled="none")
    assert (classes == 0).any() and np.array_equal(labelled, np.where(classes == 0, VOID, classes))


def test_different_sizes_are_refused(weights):
    with pytest.raises(FrameError, match=r"mfnet: needs image and thermal of one size, got 6 x 5 and 4 x 5; .* fuse.align"):
        segmented(weights, np.zeros((5, 6, 3), np.uint8), np.zeros((5, 4), np.uint8))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/mfnet-must-not-exist",)


def broken(change):
    state = mfnet.MFNet(9).state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (broken(lambda s: s.pop("decode1.bn.bias")), r"decode1.bn.bias: needs \[9\], got no such tensor"),
        (broken(lambda s: s.update({"decode1.conv.bias": torch.zeros(5)})), r"decode1.conv.bias: needs \[9\], got \[5\]"),
        (broken(lambda s: s.update(extra=torch.zeros(2))), r"needs no tensor extra, got \[2\]"),
        (broken(lambda s: s.update({"decode1.conv.bias": torch.full((9,), float("nan"))})), "decode1.conv.bias: needs finite"),
        ([torch.zeros(2)], "needs a state dict of torch .*, got list"),
        ({"a": 3}, "needs a state dict of torch .*, got dict"),
        ({"a": Evil()}, "needs a state dict of torch .* tensors alone, got: Weights only load failed"),
    ],
)
def test_other_files_are_refused(tmp_path, state, text):
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(InputError, match=rf"x\.pth: .*{text}"):
        mfnet.load(tmp_path / "x.pth", 9)
    assert not os.path.exists("/tmp/mfnet-must-not-exist")


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_a_cut_file(tmp_path, weights, size):
    path = tmp_path / "cut.pth"
    path.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(InputError, match=r"cut\.pth: needs a state dict of torch"):
        mfnet.load(path, 9)


@pytest.mark.parametrize(("path", "got"), [("", "nothing"), ("gone.pth", r"gone.pth \(not there\)"), (".", r". \(a folder\)")])
def test_no_weights(path, got):
    with pytest.raises((GraphError, ValueError), match=rf"weights: needs the path of MFNet's weights \(.pth\), got {got};"):
        run_operator(Mfnet, [{"image": np.zeros((4, 4, 3), np.uint8), "thermal": np.zeros((4, 4), np.uint8)}], {"weights": path})


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least"), [("01234N", {"person": 0.01, "curve": 0.005}), ("01477D", {"car": 0.06, "person": 0.04})]
)
def test_published_weights_on_the_published_samples(shared_data, name, least):
    """Shares of classes that a look at the pictures confirms: most is unlabeled, and what stands there is found."""
    folder = shared_data / "rgbt" / "mfnet"
    sample = cv2.imread(str(folder / "image" / f"{name}.png"), cv2.IMREAD_UNCHANGED)  # B G R thermal
    image, thermal = np.ascontiguousarray(sample[..., 2::-1]), np.ascontiguousarray(sample[..., 3])
    classes = segmented(folder / "final.pth", image, thermal)
    shares = dict(zip(NAMES, np.bincount(classes.ravel(), minlength=9) / classes.size, strict=True))
    assert shares["unlabeled"] > 0.7, shares
    assert all(shares[kind] > share for kind, share in least.items()), shares
