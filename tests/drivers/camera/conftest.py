import cv2
import live_player
import numpy as np
import pytest

play = live_player.play


@pytest.fixture(scope="session")
def jpegs():
    """Ten grey pictures 64 x 48; the k-th is 20 * k bright."""
    return [cv2.imencode(".jpg", np.full((48, 64, 3), 20 * k, np.uint8))[1].tobytes() for k in range(10)]
