"""One frame of preset `best`: predict, measure, find the ego-motion, associate, update, births, deaths. See track/best.py.

Tracks are rows, in order of birth, in the world of the first frame (x, y level in it); the first `num` count:
motion     (T, 4) float64     [x, y, vx, vy]: m, m per step;   motion_cov (T, 4, 4) float64
height     (T, 2) float64     [z of the centre, its variance]
yaw        (T, 2) float64     [yaw, its variance]
size       (T, 6) float64     [l, w, h, their variances]
belief     (T, 3) float64     [evidence, score, evidence of the last match]: the first two are running means over the matches;
                              the evidence falls with every miss
info       (T, 7) int64       [id, label, hits, steps since the last match, was it shown, STATE now, votes for this front]
Detections are rows too: boxes (D, 7) float64 as BOXES3D; evidence (D,), the logarithm of how much likelier it is true than not.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.sparse import assign_sparse

ID, LABEL, HITS, TIME_SINCE_UPDATE, WAS_SHOWN, STATE, VOTES = 0, 1, 2, 3, 4, 5, 6
HIDDEN, COASTING, SHOWN = 0, 1, 2
EVIDENCE, SCORE, LATEST = 0, 1, 2
DISTANCE, MAHALANOBIS = 0, 1

# columns of a class's row of parameters; track/models.py says what they mean
(
    SIGMA_XY, SIGMA_GROWTH, SIGMA_SLOPE, SIGMA_FLOOR, ACCELERATION, ACROSS, SPEED_0,
    SIGMA_Z, DRIFT_Z, DRIFT_Z_MOVING, SIGMA_YAW, DRIFT_YAW, DRIFT_YAW_MOVING,
    SIGMA_L, SIGMA_W, SIGMA_H, DRIFT_SIZE, MEAN_L, MEAN_W, MEAN_H, SPREAD_L, SPREAD_W, SPREAD_H,
    METRIC, GATE, GATE_LOW, HIGH, LOW, TENTATIVE, BIRTH, CROWDED,
    MEMORY, MISS, SHOW, AT_ONCE, MIN_HITS, ODD_SIZE, FAR, MAX_COAST, COAST, MAX_AGE, MAX_AGE_YOUNG,
) = range(42)  # fmt: skip
NUM_PARAMETERS = 42

X, Y, Z, WORLD_YAW, COV_XX, COV_XY, COV_YY, LOOSENESS = range(8)  # columns of a measured detection


@njit(nogil=True, cache=True)
def _wrap(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


@njit(nogil=True, cache=True)
def _half_turn(angle: float) -> float:
    """The same line, -pi/2 .. pi/2: front and back are the same here."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2


@njit(nogil=True, cache=True)
def predict(
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    info: np.ndarray,
    num: int,
    params: np.ndarray,
) -> None:
    """One step. Accelerations are white, stronger along the heading than across it."""
    for t in range(num):
        p = params[info[t, LABEL]]
        x, C = motion[t], motion_cov[t]
        x[0] += x[2]
        x[1] += x[3]
        c, s = np.cos(yaw[t, 0]), np.sin(yaw[t, 0])
        along, across = p[ACCELERATION] ** 2, (p[ACCELERATION] * p[ACROSS]) ** 2
        qxx, qxy, qyy = c * c * along + s * s * across, c * s * (along - across), s * s * along + c * c * across
        for i in range(2):
            for j in range(4):
                C[i, j] += C[i + 2, j]
        for j in range(2):
            for i in range(4):
                C[i, j] += C[i, j + 2]
        for i in range(0, 4, 2):
            for j in range(0, 4, 2):
                share = 0.25 if i + j == 0 else (0.5 if i + j == 2 else 1.0)
                C[i, j] += share * qxx
                C[i + 1, j] += share * qxy
                C[i, j + 1] += share * qxy
                C[i + 1, j + 1] += share * qyy
        speed = np.hypot(x[2], x[3])
        height[t, 1] += p[DRIFT_Z] ** 2 + (p[DRIFT_Z_MOVING] * speed) ** 2
        yaw[t, 1] += p[DRIFT_YAW] ** 2 + (p[DRIFT_YAW_MOVING] * min(speed, 1.5)) ** 2
        for k in range(3, 6):
            size[t, k] += p[DRIFT_SIZE] ** 2
        info[t, TIME_SINCE_UPDATE] += 1


@njit(nogil=True, cache=True)
def measure(
    boxes: np.ndarray, labels: np.ndarray, evidence: np.ndarray, T: np.ndarray, params: np.ndarray, out: np.ndarray
) -> None:
    """Fills out (D, 8): where the detections are in the world by T_world_velo, and how sure of it they are.

    Their noise falls exponentially with the evidence and grows with the range. LOOSENESS is the first of these factors.
    """
    for d in range(len(boxes)):
        p, box, row = params[labels[d]], boxes[d], out[d]
        for k in range(3):
            row[k] = T[k, 0] * box[0] + T[k, 1] * box[1] + T[k, 2] * box[2] + T[k, 3]
        c, s = np.cos(box[6]), np.sin(box[6])
        row[WORLD_YAW] = np.arctan2(T[1, 0] * c + T[1, 1] * s, T[0, 0] * c + T[0, 1] * s)
        row[LOOSENESS] = np.exp(-p[SIGMA_SLOPE] * (min(max(evidence[d], -3.0), 8.0) - 2.0))
        sigma = p[SIGMA_XY] * row[LOOSENESS] * (1.0 + p[SIGMA_GROWTH] * np.hypot(box[0], box[1]))
        row[COV_XX] = row[COV_YY] = sigma * sigma
        row[COV_XY] = 0.0


@njit(nogil=True, cache=True)
def associate(
    measured: np.ndarray,
    labels: np.ndarray,
    evidence: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    num: int,
    params: np.ndarray,
    wider: float,
    track_of: np.ndarray,
    det_of: np.ndarray,
) -> None:
    """Fills track_of (D,) and det_of (T,), -1 = none: class by class, and in two stages. First the detections with at least
    HIGH evidence and all tracks; then what is left of at least LOW, nearer only, and tracks that are not too doubtful."""
    num_dets = len(measured)
    track_of[:] = -1
    det_of[:num] = -1
    dets, tracks, column_of = np.empty(num_dets, np.int64), np.empty(num, np.int64), np.empty(num_dets, np.int64)
    for label in range(len(params)):
        p = params[label]
        num_mine = num_tracks = 0
        for d in range(num_dets):
            if labels[d] == label:
                dets[num_mine] = d
                num_mine += 1
        if num_mine == 0:
            continue
        for t in range(num):
            if info[t, LABEL] == label:
                tracks[num_tracks] = t
                num_tracks += 1
        for stage in range(2):
            gate = (p[GATE] if stage == 0 else p[GATE_LOW]) * wider
            rows, columns, gains = _pairs(
                measured,
                evidence,
                motion,
                motion_cov,
                belief,
                dets[:num_mine],
                tracks[:num_tracks],
                p,
                stage,
                gate,
                track_of,
                det_of,
            )
            assign_sparse(rows, columns, gains, num_mine, num_tracks, column_of[:num_mine])
            for i in range(num_mine):
                if column_of[i] >= 0:
                    track_of[dets[i]] = tracks[column_of[i]]
                    det_of[tracks[column_of[i]]] = dets[i]


@njit(nogil=True, cache=True)
def _pairs(
    measured: np.ndarray,
    evidence: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    belief: np.ndarray,
    dets: np.ndarray,
    tracks: np.ndarray,
    p: np.ndarray,
    stage: int,
    gate: float,
    track_of: np.ndarray,
    det_of: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair within the gate, as places in dets and tracks, and by how much it is within."""
    room = 4 * (len(dets) + len(tracks)) + 16
    rows, columns, gains = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    num_pairs = 0
    floor = p[SIGMA_FLOOR] ** 2
    for i in range(len(dets)):
        d = dets[i]
        high = evidence[d] >= p[HIGH]
        if track_of[d] >= 0 or (stage == 0) != high or evidence[d] < p[LOW]:
            continue
        for j in range(len(tracks)):
            t = tracks[j]
            if det_of[t] >= 0 or (stage == 1 and belief[t, EVIDENCE] < p[TENTATIVE]):
                continue
            dx, dy = measured[d, X] - motion[t, 0], measured[d, Y] - motion[t, 1]
            if p[METRIC] == DISTANCE:
                if abs(dx) > gate or abs(dy) > gate:
                    continue
                apart = np.sqrt(dx * dx + dy * dy)
            else:
                C = motion_cov[t]
                sxx, sxy, syy = C[0, 0] + measured[d, COV_XX] + floor, C[0, 1], C[1, 1] + measured[d, COV_YY] + floor
                if dx * dx + dy * dy > gate * gate * (sxx + syy):
                    continue
                apart = np.sqrt((syy * dx * dx - 2 * sxy * dx * dy + sxx * dy * dy) / (sxx * syy - sxy * sxy))
            if apart >= gate:
                continue
            if num_pairs == room:
                room *= 2
                rows, columns, gains = _longer(rows, room), _longer(columns, room), _longer(gains, room)
            rows[num_pairs], columns[num_pairs], gains[num_pairs] = i, j, gate - apart
            num_pairs += 1
    return rows[:num_pairs], columns[:num_pairs], gains[:num_pairs]


@njit(nogil=True, cache=True)
def _longer(array: np.ndarray, size: int) -> np.ndarray:
    out = np.empty(size, array.dtype)
    for k in range(len(array)):  # a slice would do the same, and take a second to compile
        out[k] = array[k]
    return out


@njit(nogil=True, cache=True)
def own_motion(
    measured: np.ndarray,
    labels: np.ndarray,
    T: np.ndarray,
    variance: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    yaw: np.ndarray,
    num: int,
    params: np.ndarray,
    det_of: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fills out (3,): by how much x, y, yaw of the car itself are off, judged from where its detections lie beside their tracks.

    T (4, 4): where the car is believed to be, variance (3,) how well that is known. Least squares over all matches, each
    weighted by what is known of both ends; Cauchy's weights (scale: 2 of the expected) for those that fit none. Parked
    objects decide, because theirs is the best known place.
    """
    A, b, J = np.empty((3, 3)), np.empty(3), np.zeros((2, 3))
    J[0, 0] = J[1, 1] = 1.0
    out[:] = 0.0
    for _ in range(4):
        A[:] = 0.0
        for k in range(3):
            A[k, k], b[k] = 1 / variance[k], -out[k] / variance[k]
        for t in range(num):
            d = det_of[t]
            if d < 0:
                continue
            p = params[labels[d]]
            ahead, left = measured[d, X] - T[0, 3], measured[d, Y] - T[1, 3]
            J[0, 2], J[1, 2] = -left, ahead
            rx = motion[t, 0] - measured[d, X] - out[0] + left * out[2]
            ry = motion[t, 1] - measured[d, Y] - out[1] - ahead * out[2]
            C = motion_cov[t]
            sxx, sxy, syy = C[0, 0] + measured[d, COV_XX] + 0.01, C[0, 1], C[1, 1] + measured[d, COV_YY] + 0.01
            det = sxx * syy - sxy * sxy
            ixx, ixy, iyy = syy / det, -sxy / det, sxx / det
            weight = 1 / (1 + (rx * rx * ixx + 2 * rx * ry * ixy + ry * ry * iyy) / 2)
            for i in range(3):
                u, v = weight * (ixx * J[0, i] + ixy * J[1, i]), weight * (ixy * J[0, i] + iyy * J[1, i])
                b[i] += u * rx + v * ry
                for j in range(3):
                    A[i, j] += u * J[0, j] + v * J[1, j]
            turned = _half_turn(yaw[t, 0] - measured[d, WORLD_YAW]) - out[2]
            spread = yaw[t, 1] + (p[SIGMA_YAW] * measured[d, LOOSENESS]) ** 2 + 0.0004
            weight = 1 / (spread * (1 + turned * turned / spread / 2))
            A[2, 2] += weight
            b[2] += weight * turned
        _solve3(A, b)
        for k in range(3):
            out[k] += b[k]


@njit(nogil=True, cache=True)
def _solve3(A: np.ndarray, b: np.ndarray) -> None:
    """b becomes the solution of A x = b, A symmetric and positive."""
    for k in range(3):
        for i in range(k + 1, 3):
            f = A[i, k] / A[k, k]
            for j in range(k, 3):
                A[i, j] -= f * A[k, j]
            b[i] -= f * b[k]
    for k in range(2, -1, -1):
        for j in range(k + 1, 3):
            b[k] -= A[k, j] * b[j]
        b[k] /= A[k, k]


@njit(nogil=True, cache=True)
def update(
    boxes: np.ndarray,
    measured: np.ndarray,
    evidence: np.ndarray,
    scores: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    num: int,
    params: np.ndarray,
    det_of: np.ndarray,
) -> None:
    """Kalman updates of the matched: x, y and their speed together, the rest each for itself."""
    K, before = np.empty((4, 2)), np.empty((2, 4))
    for t in range(num):
        d = det_of[t]
        p = params[info[t, LABEL]]
        if d < 0:
            belief[t, EVIDENCE] -= p[MISS]
            continue
        m, x, C = measured[d], motion[t], motion_cov[t]
        sxx, sxy, syy = C[0, 0] + m[COV_XX], C[0, 1] + m[COV_XY], C[1, 1] + m[COV_YY]
        det = sxx * syy - sxy * sxy
        ixx, ixy, iyy = syy / det, -sxy / det, sxx / det
        dx, dy = m[X] - x[0], m[Y] - x[1]
        for i in range(4):
            K[i, 0], K[i, 1] = C[i, 0] * ixx + C[i, 1] * ixy, C[i, 0] * ixy + C[i, 1] * iyy
            before[0, i], before[1, i] = C[0, i], C[1, i]
            x[i] += K[i, 0] * dx + K[i, 1] * dy
        for i in range(4):
            for j in range(i, 4):
                C[i, j] -= K[i, 0] * before[0, j] + K[i, 1] * before[1, j]
                C[j, i] = C[i, j]
        _blend(height[t], 0, 1, m[Z], p[SIGMA_Z] * m[LOOSENESS])
        turn = _half_turn(m[WORLD_YAW] - yaw[t, 0])
        _vote(info[t], x, yaw[t], m[WORLD_YAW])
        _blend(yaw[t], 0, 1, yaw[t, 0] + turn, p[SIGMA_YAW] * m[LOOSENESS])
        yaw[t, 0] = _wrap(yaw[t, 0] + (np.pi if info[t, VOTES] < 0 else 0.0))
        info[t, VOTES] = abs(info[t, VOTES])
        for k in range(3):
            _blend(size[t], k, 3 + k, boxes[d, 3 + k], p[SIGMA_L + k] * m[LOOSENESS])
        info[t, HITS] += 1
        info[t, TIME_SINCE_UPDATE] = 0
        share = max(1.0 / info[t, HITS], p[MEMORY])
        belief[t, EVIDENCE] += share * (evidence[d] - belief[t, EVIDENCE])
        belief[t, SCORE] += share * (scores[d] - belief[t, SCORE])
        belief[t, LATEST] = evidence[d]


@njit(nogil=True, cache=True)
def _vote(row: np.ndarray, x: np.ndarray, yaw: np.ndarray, seen: float) -> None:
    """Which end is the front? One vote of each detection, two of a speed above 0.3 m per step; at most 6 are remembered."""
    votes = 1 if np.cos(seen - yaw[0]) >= 0 else -1
    if x[2] * x[2] + x[3] * x[3] > 0.09:
        votes += 2 if x[2] * np.cos(yaw[0]) + x[3] * np.sin(yaw[0]) >= 0 else -2
    row[VOTES] = min(row[VOTES] + votes, 6)


@njit(nogil=True, cache=True)
def _blend(row: np.ndarray, at: int, variance_at: int, value: float, sigma: float) -> None:
    """Scalar Kalman update of row[at], its variance in row[variance_at]."""
    gain = row[variance_at] / (row[variance_at] + sigma * sigma)
    row[at] += gain * (value - row[at])
    row[variance_at] *= 1 - gain


@njit(nogil=True, cache=True)
def give_birth(
    boxes: np.ndarray,
    labels: np.ndarray,
    measured: np.ndarray,
    evidence: np.ndarray,
    scores: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    num: int,
    params: np.ndarray,
    track_of: np.ndarray,
    next_id: int,
) -> int:
    """Unmatched detections of at least BIRTH evidence become tracks -> how many there are now. Not so CROWDED metres or
    nearer to a track of their class that was just seen: one object may be detected twice. A size begins at its class's mean."""
    old = num
    for d in range(len(boxes)):
        p = params[labels[d]]
        if track_of[d] >= 0 or evidence[d] < p[BIRTH]:
            continue
        m, crowded = measured[d], False
        for t in range(num):
            if info[t, LABEL] == labels[d] and (t >= old or info[t, TIME_SINCE_UPDATE] == 0):
                dx, dy = m[X] - motion[t, 0], m[Y] - motion[t, 1]
                if dx * dx + dy * dy < p[CROWDED] ** 2:
                    crowded = True
                    break
        if crowded:
            continue
        motion[num, 0], motion[num, 1], motion[num, 2], motion[num, 3] = m[X], m[Y], 0.0, 0.0
        C = motion_cov[num]
        for i in range(4):
            for j in range(4):
                C[i, j] = 0.0
        C[0, 0], C[0, 1], C[1, 0], C[1, 1] = m[COV_XX], m[COV_XY], m[COV_XY], m[COV_YY]
        C[2, 2] = C[3, 3] = p[SPEED_0] ** 2
        height[num, 0], height[num, 1] = m[Z], (p[SIGMA_Z] * m[LOOSENESS]) ** 2
        yaw[num, 0], yaw[num, 1] = m[WORLD_YAW], (p[SIGMA_YAW] * m[LOOSENESS]) ** 2
        for k in range(3):
            size[num, k], size[num, 3 + k] = p[MEAN_L + k], p[SPREAD_L + k] ** 2
            _blend(size[num], k, 3 + k, boxes[d, 3 + k], p[SIGMA_L + k] * m[LOOSENESS])
        belief[num, EVIDENCE], belief[num, SCORE], belief[num, LATEST] = evidence[d], scores[d], evidence[d]
        row = info[num]
        row[ID], row[LABEL], row[HITS], row[TIME_SINCE_UPDATE], row[WAS_SHOWN], row[VOTES] = next_id, labels[d], 1, 0, 0, 1
        num += 1
        next_id += 1
    return num


@njit(nogil=True, cache=True)
def oddity(box: np.ndarray, p: np.ndarray) -> float:
    """How much more evidence is asked for of a size that is not its class's."""
    odd = 0.0
    for k in range(3):
        away = max(abs(box[3 + k] - p[MEAN_L + k]) / p[SPREAD_L + k] - 1.5, 0.0)
        odd += away * away
    return p[ODD_SIZE] * min(odd, 10.0)


@njit(nogil=True, cache=True)
def farness(box: np.ndarray, p: np.ndarray) -> float:
    """How much less is asked for of a distant box."""
    return p[FAR] * min(max((np.hypot(box[0], box[1]) - 40.0) / 10.0, 0.0), 2.0)


@njit(nogil=True, cache=True)
def _move(
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    t: int,
    to: int,
) -> None:
    """One row to another place."""
    for i in range(4):
        motion[to, i] = motion[t, i]
        for j in range(4):
            motion_cov[to, i, j] = motion_cov[t, i, j]
    for i in range(2):
        height[to, i], yaw[to, i] = height[t, i], yaw[t, i]
    for i in range(3):
        belief[to, i] = belief[t, i]
    for i in range(6):
        size[to, i] = size[t, i]
    for i in range(7):
        info[to, i] = info[t, i]


@njit(nogil=True, cache=True)
def settle(
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    num: int,
    T: np.ndarray,
    params: np.ndarray,
    frame: int,
    boxes: np.ndarray,
) -> int:
    """Who lives and who is shown: the dead are removed, info[STATE] is set, boxes (T, 7) are filled (velodyne) -> how many live.

    A track is shown when its evidence is at least what is asked for: SHOW; more the less its size is that of its class; less
    the farther it is, where detectors see few points and score all low. And it takes MIN_HITS matches or AT_ONCE evidence.
    """
    kept = 0
    for t in range(num):
        p, misses = params[info[t, LABEL]], info[t, TIME_SINCE_UPDATE]
        if misses > (p[MAX_AGE] if info[t, HITS] >= 3 else p[MAX_AGE_YOUNG]):
            continue
        if kept < t:
            _move(motion, motion_cov, height, yaw, size, belief, info, t, kept)
        row, box = info[kept], boxes[kept]
        dx, dy, dz = motion[kept, 0] - T[0, 3], motion[kept, 1] - T[1, 3], height[kept, 0] - T[2, 3]
        for k in range(3):
            box[k] = T[0, k] * dx + T[1, k] * dy + T[2, k] * dz
        c, s = np.cos(yaw[kept, 0]), np.sin(yaw[kept, 0])
        box[6] = np.arctan2(T[0, 1] * c + T[1, 1] * s, T[0, 0] * c + T[1, 0] * s)
        for k in range(3):
            box[3 + k] = size[kept, k]
        asked = p[SHOW] + oddity(box, p) - farness(box, p)
        evidence = belief[kept, EVIDENCE]
        shown = evidence >= asked and (row[HITS] >= p[MIN_HITS] or evidence >= p[AT_ONCE] or frame <= p[MIN_HITS])
        if shown and misses == 0:
            row[WAS_SHOWN] = 1
        coasts = shown and row[WAS_SHOWN] == 1 and misses <= p[MAX_COAST] and evidence >= p[COAST]
        row[STATE] = SHOWN if shown and misses == 0 else (COASTING if coasts else HIDDEN)
        kept += 1
    return kept


@njit(nogil=True, cache=True)
def _drive(T: np.ndarray, ahead: float, left: float, turn: float) -> None:
    """T_world_velo after a move on the flat, told in the car's own axes."""
    c, s = np.cos(turn), np.sin(turn)
    for k in range(3):
        a, b = T[k, 0], T[k, 1]
        T[k, 3] += a * ahead + b * left
        T[k, 0], T[k, 1] = a * c + b * s, b * c - a * s


@njit(nogil=True, cache=True)
def _correct(T: np.ndarray, dx: float, dy: float, turn: float) -> None:
    """T_world_velo moved and turned about the world's z, at the place where it is."""
    c, s = np.cos(turn), np.sin(turn)
    for k in range(3):
        a, b = T[0, k], T[1, k]
        T[0, k], T[1, k] = c * a - s * b, s * a + c * b
    T[0, 3] += dx
    T[1, 3] += dy


@njit(nogil=True, cache=True)
def step(
    boxes: np.ndarray,
    labels: np.ndarray,
    evidence: np.ndarray,
    scores: np.ndarray,
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    belief: np.ndarray,
    info: np.ndarray,
    num: int,
    steps: int,
    T: np.ndarray,
    T_before_now: np.ndarray,
    is_known: bool,
    drive: np.ndarray,
    ego: np.ndarray,
    params: np.ndarray,
    frame: int,
    next_id: int,
    out: np.ndarray,
) -> tuple[int, int]:
    """-> how many tracks there are now, the next id. The caller has room for as many more as there are detections.

    T             (4, 4) T_world_velo of the last frame; of this one afterwards
    T_before_now  (4, 4) how the car moved, where `is_known`; else its motion is found from the tracks
    drive         (4,): ahead, left [m], turn [rad] of the last step in the car's axes, and for how many frames it is known
    ego           (2,): standard deviations of how much the car's own move changes from step to step [m, rad]
    frame         of the recording, from 1
    out           (T, 7) float64 is filled: boxes of the tracks as BOXES3D; info[STATE] says which are shown
    """
    for _ in range(steps):
        predict(motion, motion_cov, height, yaw, size, info, num, params)
    measured = np.empty((len(boxes), 8))
    track_of, det_of = np.empty(len(boxes), np.int64), np.empty(num, np.int64)
    last = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            last[i, j] = T[i, j]
    if is_known:
        for i in range(4):
            for j in range(4):
                T[i, j] = 0.0
                for k in range(4):
                    T[i, j] += last[i, k] * T_before_now[k, j]
    elif frame > 1:
        is_new = drive[3] < 3
        for _ in range(steps):
            _drive(T, drive[0], drive[1], drive[2])
        variance, fix = np.empty(3), np.empty(3)
        variance[0] = 4.0 if is_new else ego[0] ** 2  # nothing is known of a speed up to 2 m per step, or more
        variance[1] = 0.04 if is_new else (0.3 * ego[0]) ** 2
        variance[2] = 0.01 if is_new else ego[1] ** 2
        for attempt in range(2):
            measure(boxes, labels, evidence, T, params, measured)
            wider = 1.8 if is_new and attempt == 0 else 1.0
            associate(measured, labels, evidence, motion, motion_cov, belief, info, num, params, wider, track_of, det_of)
            own_motion(measured, labels, T, variance, motion, motion_cov, yaw, num, params, det_of, fix)
            _correct(T, fix[0], fix[1], fix[2])
    measure(boxes, labels, evidence, T, params, measured)
    associate(measured, labels, evidence, motion, motion_cov, belief, info, num, params, 1.0, track_of, det_of)
    is_seen = is_known
    for t in range(num):
        is_seen = is_seen or det_of[t] >= 0
    _remember(last, T, steps, is_seen, drive)
    update(boxes, measured, evidence, scores, motion, motion_cov, height, yaw, size, belief, info, num, params, det_of)
    old = num
    num = give_birth(
        boxes, labels, measured, evidence, scores, motion, motion_cov, height, yaw, size, belief, info, num, params,
        track_of, next_id,
    )  # fmt: skip
    next_id += num - old
    num = settle(motion, motion_cov, height, yaw, size, belief, info, num, T, params, frame, out)
    return num, next_id


@njit(nogil=True, cache=True)
def _remember(last: np.ndarray, now: np.ndarray, steps: int, is_seen: bool, drive: np.ndarray) -> None:
    """What the next frame's motion is predicted from: this one's, per step."""
    dx, dy, dz = now[0, 3] - last[0, 3], now[1, 3] - last[1, 3], now[2, 3] - last[2, 3]
    drive[0] = (last[0, 0] * dx + last[1, 0] * dy + last[2, 0] * dz) / steps
    drive[1] = (last[0, 1] * dx + last[1, 1] * dy + last[2, 1] * dz) / steps
    drive[2] = _wrap(np.arctan2(now[1, 0], now[0, 0]) - np.arctan2(last[1, 0], last[0, 0])) / steps
    if is_seen:
        drive[3] += 1
