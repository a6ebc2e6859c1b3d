"""fuse.health: each fault is found by its name, and nothing in clean pictures; real pairs; partial sets; a new sequence."""

import cv2
import numpy as np
import pytest

from drivers.synthetic.world import SyntheticWorld
from operators.fuse.health import FuseHealth
from operators.fuse.sensor_faults import HealthConfig, Judge, Seen, at_limit
from operators.streams import HEALTH, SENSOR_FAULTS
from pipeline.errors import GraphError
from pipeline.frame import Header
from pipeline.testing import run_operator, run_source

FAULTY_FROM, FAULTY_TO = 4, 9
WIDTH, HEIGHT = 320, 256


def noisy(picture, rng, sigma=1.5):
    return np.clip(np.rint(picture + rng.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)


def thermal_of(image, rng):
    """Bright is cold, edges are soft, another gain: only the places of the edges are those of the image."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8).astype(float)
    return noisy(190 - 0.6 * grey, rng)


@pytest.fixture(scope="module")
def pairs():
    """Twelve frames of the generated world at dusk: (image, thermal) each."""
    config = {"frames": 12, "camera": {"width": WIDTH, "height": HEIGHT}}
    rng = np.random.default_rng(5)
    images = [reading.values["image"] for reading in run_source(SyntheticWorld, config, wanted=["image"])]
    return [(noisy(0.6 * image, rng), thermal_of(image, rng)) for image in images]


def glare(picture, _):
    rows, columns = np.indices(picture.shape[:2])
    away = np.hypot(rows - 0.4 * HEIGHT, columns - 0.6 * WIDTH)
    veil = 255 * np.exp(-np.maximum(away - 0.08 * HEIGHT, 0) / (0.12 * HEIGHT))
    veil = veil[:, :, None] if picture.ndim == 3 else veil
    return np.clip(picture + veil, 0, 255).astype(np.uint8)


def salt_and_pepper(picture, rng):
    out = picture.copy()
    at = rng.random(picture.shape[:2])
    out[at < 0.02], out[at > 0.98] = 0, 255
    return out


def moved(picture, _):
    matrix = np.array([[1.0, 0, round(0.05 * WIDTH)], [0, 1.0, round(0.03 * HEIGHT)]])
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


FAULTS = {
    "blackout": ("blank", lambda picture, rng: np.zeros_like(picture)),
    "one grey": ("blank", lambda picture, rng: np.full_like(picture, 120)),
    "faint": ("blank", lambda picture, rng: noisy(np.full_like(picture, 120), rng)),
    "white-out": ("saturated", lambda picture, rng: np.full_like(picture, 255)),
    "overexposed": (
        "saturated",
        lambda picture, rng: np.where(picture > np.median(picture) * 0.8, 255, picture).astype(np.uint8),
    ),
    "glare": ("glare", glare),
    "noise": ("noise", lambda picture, rng: noisy(picture, rng, 15)),
    "salt and pepper": ("noise", salt_and_pepper),
    "blur": ("blur", lambda picture, rng: cv2.GaussianBlur(picture, (0, 0), 3)),
    "shift": ("shifted", moved),
}


def judged(pairs, config=None, **given):
    """Scores (F, 2, 9), usable (F, 2), reasons per frame of FuseHealth."""
    sets = [{"image": image, "thermal": thermal} for image, thermal in pairs]
    reasons: list = []

    class Watched(FuseHealth):
        def describe(self, port, **meta):
            assert meta["modalities"] == ["image", "thermal"]
            reasons.append(meta["reasons"])

    out = run_operator(Watched, sets, config, **given)
    for value in out:
        HEALTH.check(value._asdict(), "fuse.health")
    return np.stack([value.health for value in out]), np.stack([value.usable for value in out]), reasons


def names_above(row):
    return [name for name, score in zip(SENSOR_FAULTS, row, strict=True) if score > 0.5]


def injected(pairs, which, make, seed=3):
    rng = np.random.default_rng(seed)
    out = [list(pair) for pair in pairs]
    for k in range(FAULTY_FROM, FAULTY_TO):
        out[k][which] = make(out[k][which], rng)
    return out


def test_clean_pictures_have_no_fault(pairs):
    scores, usable, reasons = judged(pairs)
    assert scores.shape == (12, 2, 9) and usable.all() and scores.max() < 0.5 and not any(reasons)


@pytest.mark.parametrize(
    ("fault", "which"),
    [(fault, which) for fault in FAULTS for which in (0, 1) if (fault, which) != ("blur", 1)],  # thermal_of is soft already
)
def test_a_fault_is_found_by_its_name_and_ends_at_once(pairs, fault, which):
    name, make = FAULTS[fault]
    scores, usable, reasons = judged(injected(pairs, which, make))
    modality = ("image", "thermal")[which]
    for k, rows in enumerate(scores):
        is_faulty = FAULTY_FROM <= k < FAULTY_TO
        assert names_above(rows[which]) == ([name] if is_faulty else []), (fault, k, rows[which])
        assert names_above(rows[1 - which]) == [], (fault, k, "the other one", rows[1 - which])
        assert bool(reasons[k]) == is_faulty and all(text.startswith(f"{modality}: {name}") for text in reasons[k])
    dead = name in ("blank", "saturated", "shifted")
    assert (usable[FAULTY_FROM:FAULTY_TO, which] != dead).all() and usable[:, 1 - which].all()


@pytest.mark.parametrize("which", [0, 1], ids=["image", "thermal"])
def test_a_frozen_picture(pairs, which):
    """Named from the third repetition on; the first other picture is healthy."""
    faulty = [list(pair) for pair in pairs]
    for k in range(FAULTY_FROM, FAULTY_TO):
        faulty[k][which] = pairs[FAULTY_FROM - 1][which]
    scores, usable, reasons = judged(faulty)
    frozen = [k for k, rows in enumerate(scores) if "frozen" in names_above(rows[which])]
    assert frozen == [FAULTY_FROM + 2, FAULTY_FROM + 3, FAULTY_FROM + 4] == np.flatnonzero(~usable[:, which]).tolist()
    assert any("frozen for 5 frames" in text for text in reasons[FAULTY_TO - 1])


def test_a_warm_road_is_no_glare_of_a_thermal_camera():
    """By percentiles the warmest becomes white: half of the picture is nearly so, and bright all around."""
    rng = np.random.default_rng(2)
    warm = np.linspace(0, 250, HEIGHT)[:, None].repeat(WIDTH, 1)
    warm[HEIGHT // 2 :] = 249
    (scores, _, _), glare = judged([(noisy(warm[:, :, None].repeat(3, 2), rng), noisy(warm, rng))]), SENSOR_FAULTS.index("glare")
    assert scores[0, 0, glare] > 0.5 and scores[0, 1, glare] == 0, "a lamp, a road"


def test_a_standing_camera_is_not_frozen(pairs):
    rng = np.random.default_rng(1)
    image, thermal = pairs[0]
    scores, _, _ = judged([(noisy(image, rng, 0.5), noisy(thermal, rng, 0.5)) for _ in range(8)])
    assert scores.max() < 0.5


def test_a_set_that_brings_the_same_frame_again_is_not_frozen(pairs):
    """sync: latest does so; it is old by its stamp."""
    judge = Judge(HealthConfig())
    thermal = pairs[0][1]
    for k in range(6):
        now = pairs[k][0]
        scores, reasons = judge.step({"image": Seen(now, k, 0.0), "thermal": Seen(thermal, 0, 100.0 * k)})
        assert names_above(scores[0]) == []
        assert "frozen" not in names_above(scores[1]) and ("too_old" in names_above(scores[1])) == (k > 2)
    assert reasons[0] == "thermal: too old by 500 ms"


def test_a_soft_picture_that_never_had_detail_is_not_blurred(pairs):
    soft = [(image, cv2.GaussianBlur(thermal, (0, 0), 4)) for image, thermal in pairs]
    scores, _, _ = judged(soft)
    assert scores.max() < 0.5


def test_who_moved_is_unclear_without_a_past(pairs):
    scores, usable, reasons = judged([(image, moved(thermal, None)) for image, thermal in pairs[:2]])
    assert (scores[0, :, SENSOR_FAULTS.index("shifted")] == 0.5).all() and usable.all()
    assert len(reasons[0]) == 2 and "shifted" in reasons[0][0]


@pytest.mark.parametrize("which", [0, 1], ids=["image", "thermal"])
def test_a_small_shift_is_not_taken_for_one_of_the_other(pairs, which):
    """Little more than the picture may move by itself between two frames."""

    def small(picture, _):
        matrix = np.array([[1.0, 0, round(0.025 * WIDTH)], [0, 1.0, 0]])
        return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)

    scores, _, _ = judged(injected(pairs, which, small))
    for rows in scores[FAULTY_FROM:FAULTY_TO]:
        assert names_above(rows[which]) == ["shifted"] and names_above(rows[1 - which]) == []


def test_a_known_offset_is_no_shift(pairs):
    config = {"offset_share": [0.05, 0.03]}
    scores, _, _ = judged([(moved(image, None), thermal) for image, thermal in pairs[:4]], config)
    assert scores.max() < 0.5


def test_a_partial_set(pairs):
    """A stream that stopped: missing, the other is judged as ever; and the first set after it is healthy."""
    sets = [{"image": image, "thermal": thermal} for image, thermal in pairs[:6]]
    del sets[2]["thermal"], sets[3]["thermal"]
    out = run_operator(FuseHealth, sets)
    missing = [[names_above(row) for row in value.health] for value in out]
    assert missing == [[[], ["missing"]] if k in (2, 3) else [[], []] for k in range(6)]
    assert [value.usable.tolist() for value in out] == [[True, k not in (2, 3)] for k in range(6)]


def test_one_modality_alone(pairs):
    out = run_operator(FuseHealth, [{"thermal": thermal} for _, thermal in pairs[:3]])
    assert all(value.health.shape == (1, 9) and value.usable.tolist() == [True] for value in out)


@pytest.mark.parametrize("shape", [(0, 0), (5, 0), (5, 9), (15, 400)])
def test_a_picture_without_content(shape):
    (out,) = run_operator(FuseHealth, [{"image": np.zeros((*shape, 3), np.uint8)}])
    assert names_above(out.health[0]) == ["blank"] and not out.usable[0]


@pytest.mark.parametrize("size", [(16, 16), (17, 400), (700, 900)])
def test_sizes(size):
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 255, (9, 9), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    scores, _, _ = judged([(np.repeat(coarse[:, :, None], 3, axis=2), coarse)])
    assert names_above(scores[0, 0]) == []


def test_a_new_sequence_begins_anew(pairs):
    """Otherwise the same picture would be frozen, and the soft one blurred against the sharp one before."""
    soft = [(cv2.GaussianBlur(image, (0, 0), 3), thermal) for image, thermal in pairs[:3]]
    headers = [Header("test", k, f"{k // 3:04d}/{k % 3:06d}", k * 100_000_000) for k in range(6)]
    scores, _, _ = judged([*pairs[:3], *soft], headers=headers)
    assert scores.max() < 0.5
    scores, _, _ = judged([*pairs[:3], *soft])
    assert names_above(scores[3, 0]) == ["blur"]


def test_the_same_input_gives_the_same_bytes(pairs):
    first, second = (judged(injected(pairs, 0, FAULTS["glare"][1])) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes() and first[2] == second[2]


def test_thresholds_decide_what_is_usable(pairs):
    faulty = injected(pairs, 0, FAULTS["noise"][1])
    _, usable, _ = judged(faulty, {"usable": {"noise": 0.5}})
    assert (~usable[:, 0]).tolist() == [FAULTY_FROM <= k < FAULTY_TO for k in range(12)]


@pytest.mark.parametrize(("value", "score"), [(0, 0), (0.1, 0.25), (0.2, 0.5), (0.4, 1), (9, 1)])
def test_scores(value, score):
    assert at_limit(value, 0.2) == pytest.approx(score)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"blank_levels": 0}, "blank_levels: needs more than 0, got 0"),
        ({"white_share": 2}, "white_share: needs more than 0, at most 1, got 2"),
        ({"blur_ratio": 1}, "blur_ratio: needs 0 or more, less than 1, got 1"),
        ({"frozen_frames": 0}, "frozen_frames: needs 1 or more, got 0"),
        ({"impulse_levels": 256}, "impulse_levels: needs 1..255, got 256"),
        ({"offset_share": [0.5, 0]}, r"offset_share: needs -0.15..0.15, got \[0.5, 0.0\]"),
        ({"usable": {"noise": 2}}, "noise: needs a score of 0..1, got 2"),
        ({"usable": {"nois": 0.2}}, "nois: unknown key; did you mean noise"),
    ],
)
def test_a_wrong_config_is_one_line(config, text):
    with pytest.raises(GraphError, match=text) as raised:
        run_operator(FuseHealth, [], config)
    assert "\n" not in str(raised.value)


RIGS = {
    "roadscene": ("crop_LR_visible", "cropinfrared"),
    "msrs": ("vi", "ir"),
    "llvip": ("Test_LLVIP_vi", "Test_LLVIP_ir"),
    "kaist": ("color", "thermal"),
}


def real_pairs(folder, rig):
    """(image RGB, thermal) of each registered pair."""
    first, second = (folder / "rgbt" / rig / name for name in RIGS[rig])
    for path in sorted(first.iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        yield image, cv2.imread(str(second / path.name), cv2.IMREAD_GRAYSCALE)


@pytest.mark.data
@pytest.mark.parametrize("rig", RIGS)
def test_real_pairs_are_healthy(shared_data, rig):
    """Day and night: a dark picture is not blank, a white sky is no glare. Each pair is a recording of its own."""
    pairs = list(real_pairs(shared_data, rig))
    headers = [Header("test", k, f"{k}/0", 0) for k in range(len(pairs))]
    scores, usable, reasons = judged(pairs, headers=headers)
    assert usable.all() and not any(reasons), (reasons, scores.max(axis=(0, 1)))


@pytest.mark.data
@pytest.mark.parametrize("rig", RIGS)
def test_real_pairs_that_are_moved_are_found(shared_data, rig):
    """All but two of a rig: some pairs have little in common, and less after a part has left the picture."""
    found = 0
    pairs = list(real_pairs(shared_data, rig))
    for image, thermal in pairs:
        rows, columns = thermal.shape
        shifted = cv2.warpAffine(
            image, np.array([[1.0, 0, round(0.06 * columns)], [0, 1.0, round(0.03 * rows)]]), (columns, rows)
        )
        judge = Judge(HealthConfig())
        judge.step({"image": Seen(image, 0, 0.0), "thermal": Seen(thermal, 0, 0.0)})
        scores, _ = judge.step({"image": Seen(shifted, 1, 0.0), "thermal": Seen(thermal, 1, 0.0)})
        found += names_above(scores[0]) == ["shifted"] and names_above(scores[1]) == []
    assert found >= len(pairs) - 2 * (len(pairs) > 2)
