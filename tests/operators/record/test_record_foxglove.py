"""Messages for Foxglove, read with Google's protobuf from the descriptor in the message's schema."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from operators.record import pictures, scene
from operators.record.foxglove import Foxglove
from operators.streams import (
    BOXES3D,
    BOXES3D_LOGIT,
    CALIBRATION,
    DEPTH,
    GREY,
    IMAGE,
    PILLARS,
    PIXEL_IDS,
    POINTS,
    POSE,
    TRACKS,
    TRUTH,
)
from pipeline.frame import Header
from pipeline.recording.message import pack
from pipeline.schema import Array, Port, Schema

HEADER = Header("src", 3, "000003", 5_000_000_007, 0)


def read(schema, data):
    """A message as a reader of the file decodes it."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name)).FromString(data)


def encoded(schema, arrays, images="raw"):
    """(message, its extras by suffix, whole message's bytes) of one frame."""
    encoder = Foxglove().encoder("src.port", Port(schema), images)
    body = encoder.encode(HEADER, arrays)
    data = b"".join(bytes(p) for p in pack(HEADER, 0, {}, arrays, body, True).pieces)
    extra = {suffix: read(encoder.extra[suffix], message) for suffix, message in body.extra.items()}
    message = read(encoder.schema, data)
    if hasattr(message, "timestamp"):
        assert (message.timestamp.seconds, message.timestamp.nanos) == (5, 7)
    return message, extra, data


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_points(count):
    points = np.random.default_rng(0).random((count, 4)).astype(np.float32)
    cloud, _, data = encoded(POINTS, {"points": points})
    assert cloud.DESCRIPTOR.full_name == "foxglove.PointCloud"
    assert (cloud.frame_id, cloud.point_stride, cloud.pose.orientation.w) == ("velodyne", 16, 1.0)
    assert [(f.name, f.offset, f.type) for f in cloud.fields] == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 7)]
    assert np.array_equal(np.frombuffer(cloud.data, np.float32).reshape(-1, 4), points)
    assert len(data) < points.nbytes + 400, "the cloud is there once"


@pytest.mark.parametrize(
    ("schema", "shape", "dtype", "encoding", "step"),
    [
        (IMAGE, (4, 6, 3), np.uint8, "rgb8", 18),
        (GREY, (4, 6), np.uint8, "mono8", 6),
        (DEPTH, (4, 6), np.float32, "32FC1", 24),
        (Schema("RAW16", {"thermal_raw": Array("uint16", ("H", "W"))}, frame="image"), (4, 6), np.uint16, "mono16", 12),
        (IMAGE, (0, 0, 3), np.uint8, "rgb8", 0),
    ],
)
def test_raw_pictures(schema, shape, dtype, encoding, step):
    (name,) = schema.arrays
    picture = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    image, _, data = encoded(schema, {name: picture})
    assert (image.width, image.height, image.encoding, image.step) == (shape[1], shape[0], encoding, step)
    assert image.data == picture.tobytes()
    assert len(data) < picture.nbytes + 200, "the picture is there once"


@pytest.mark.parametrize("schema", [IMAGE, GREY, Schema("RAW16", {"image": Array("uint16", ("H", "W"))}, frame="image")])
def test_png_is_lossless(schema):
    array = schema.arrays["image"]
    picture = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3)[: len(array.shape)]).astype(array.dtype)
    image, _, _ = encoded(schema, {"image": picture}, "png")
    assert image.format == "png" and image.data.startswith(b"\x89PNG")
    assert np.array_equal(Foxglove().decode("png", image.data, picture.shape), picture)


def test_jpeg_is_close_and_small():
    rows = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.stack([np.tile(rows, (64, 1)), np.tile(rows[:, None], (1, 64)), np.full((64, 64), 90, np.uint8)], axis=2)
    image, _, _ = encoded(IMAGE, {"image": picture}, "jpeg")
    assert image.format == "jpeg" and len(image.data) < picture.nbytes / 4
    again = Foxglove().decode("jpeg", image.data, picture.shape)
    assert again.shape == picture.shape and np.abs(again.astype(int) - picture).mean() < 3, "and red stays red"


def test_a_picture_of_no_size_has_no_png():
    image, _, _ = encoded(IMAGE, {"image": np.zeros((0, 0, 3), np.uint8)}, "png")
    assert (image.format, image.data) == ("", b"")


def test_depth_is_never_squeezed():
    assert Foxglove().encoder("a.b", Port(DEPTH), "jpeg").schema.name == "foxglove.RawImage"


@pytest.mark.parametrize("codec", ["png", "jpeg"])
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 1), (300, 200)])
def test_the_size_of_a_picture_is_in_its_first_bytes(codec, shape):
    for channels in ((), (3,)):
        for args in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
            packed = cv2.imencode(f".{codec}", np.zeros((*shape, *channels), np.uint8), args)[1].tobytes()
            assert pictures.size(codec, packed) == shape


PNG = cv2.imencode(".png", np.zeros((5, 7, 3), np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.zeros((5, 7, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        ("png", b"no picture", "it is no png picture"),
        ("png", b"", "it is no png picture"),
        ("png", JPEG, "it is no png picture"),
        ("jpeg", PNG, "it is no jpeg picture"),
        ("jpeg", JPEG[:20], "it is no jpeg picture"),
        ("jpeg", JPEG[:2] + b"\xff" * 50, "it is no jpeg picture"),
        ("tiff", b"II*\0" + bytes(100), "it is no tiff picture"),
        ("png", PNG[:16] + (60_000).to_bytes(4, "big") * 2 + PNG[24:], r"its png needs \(5, 7\) pixels, got \(60000, 60000\)"),
        ("png", PNG[:40], "its png cannot be read"),
    ],
)
def test_a_picture_that_cannot_be_unpacked(codec, data, text):
    """Found before a library takes memory for the picture."""
    with pytest.raises(ValueError, match=text):
        Foxglove().decode(codec, data, (5, 7, 3))


BOX = [1.0, 2.0, 3.0, 4.0, 2.0, 1.5, np.pi / 2]


def boxes(count, **more):
    arrays = {"boxes3d": np.array([BOX] * count, np.float32).reshape(-1, 7), "labels": np.arange(count, dtype=np.int32)}
    return arrays | {"scores": np.ones(count, np.float32)} | more


@pytest.mark.parametrize("schema", [BOXES3D, BOXES3D_LOGIT])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_boxes(schema, count):
    (entity,) = encoded(schema, boxes(count))[0].entities
    assert (entity.frame_id, entity.id, len(entity.cubes), len(entity.texts)) == ("velodyne", "src.port", count, 0)
    for cube in entity.cubes:
        at, turn, size = cube.pose.position, cube.pose.orientation, cube.size
        assert (at.x, at.y, at.z, size.x, size.y, size.z) == (1, 2, 3, 4, 2, 1.5)
        np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [0, 0, 0.5**0.5, 0.5**0.5], atol=1e-6)
        assert cube.color.a == 0.5
    colors = {(c.color.r, c.color.g, c.color.b) for c in entity.cubes}
    assert len(colors) == min(count, 9), "one for each class, and one for all that have none"


def test_tracks_have_names_and_keep_their_colour():
    ids = np.array([5, 12], np.int64)
    (first,) = encoded(TRACKS, boxes(2, track_ids=ids))[0].entities
    (later,) = encoded(TRACKS, boxes(2, track_ids=ids[::-1].copy()))[0].entities
    assert [t.text for t in first.texts] == ["Car 5", "Pedestrian 12"]
    assert [t.text for t in later.texts] == ["Car 12", "Pedestrian 5"]
    assert first.texts[0].billboard and first.texts[0].pose.position.z > 3.75, "above the box"
    colors = [str(cube.color) for cube in (first.cubes[0], later.cubes[1], first.cubes[1])]
    assert colors[0] == colors[1] != colors[2]


def test_dont_care_is_not_drawn():
    truth = boxes(3, track_ids=np.array([1, -1, 2], np.int64))
    truth["boxes3d"][1] = np.nan
    del truth["scores"]
    truth |= {"boxes2d": np.zeros((3, 4), np.float32), "occluded": np.zeros(3, np.int32), "truncated": np.zeros(3, np.float32)}
    (entity,) = encoded(TRUTH, truth)[0].entities
    assert len(entity.cubes) == 2


def test_pose():
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler("zyx", [0.3, -0.2, 0.1]).as_matrix(), (10, 20, 30)
    (one,) = encoded(POSE, {"T_world_velo": T})[0].transforms
    assert (one.parent_frame_id, one.child_frame_id) == ("world", "velodyne")
    assert (one.translation.x, one.translation.y, one.translation.z) == (10, 20, 30)
    turn = Rotation.from_quat([one.rotation.x, one.rotation.y, one.rotation.z, one.rotation.w])
    np.testing.assert_allclose(turn.as_matrix(), T[:3, :3], atol=1e-12)


@given(hnp.arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternion_of_any_rotation(q):
    R = Rotation.from_quat(q).as_matrix()
    got = scene.quaternion(R)
    assert got[3] >= 0 and abs(np.linalg.norm(got) - 1) < 1e-9
    np.testing.assert_allclose(Rotation.from_quat(got).as_matrix(), R, atol=1e-9)


def test_calibration():
    P = np.array([[720.0, 0, 621, 45], [0, 721, 172, 0.2], [0, 0, 1, 0.003]])
    T_cam_velo = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
    arrays = {"P_cam": P, "T_cam_velo": T_cam_velo, "image_size": np.array([1242, 375], np.int32)}
    camera, extra, _ = encoded(CALIBRATION, arrays)
    assert (camera.width, camera.height, camera.frame_id) == (1242, 375, "camera")
    assert list(camera.P) == P.ravel().tolist()
    assert list(camera.K) == P[:, :3].ravel().tolist()
    assert list(camera.R) == np.eye(3).ravel().tolist()
    (tf,) = extra["tf"].transforms
    assert (tf.parent_frame_id, tf.child_frame_id) == ("velodyne", "camera")
    # the camera's origin, in the velodyne frame: what T_cam_velo takes to zero
    at = np.array([tf.translation.x, tf.translation.y, tf.translation.z, 1.0])
    np.testing.assert_allclose(T_cam_velo @ at, [0, 0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    "schema",
    [
        PILLARS,
        PIXEL_IDS,
        Schema("POINTS", {"points": Array("float32", ("N", 5))}),
        Schema("BOXES3D", {"boxes3d": Array("float64", ("M", 7))}),
        Schema("POINTS", {}),
    ],
)
def test_what_is_not_known_is_left_to_the_engine(schema):
    """The name is not enough: POINTS of a user may have other columns."""
    assert Foxglove().encoder("a.b", Port(schema), "raw") is None


def test_log():
    log = read(Foxglove.log_schema, Foxglove().log(5, "a.out->_record.a.out", '{"reason": "queue_full"}'))
    assert (log.level, log.name, log.message) == (3, "a.out->_record.a.out", '{"reason": "queue_full"}')
