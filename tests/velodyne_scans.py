"""Scans and clouds of packets, without the engine."""

import struct

import capture_files
import numpy as np

from drivers.velodyne.calibration import calibration_of
from drivers.velodyne.decode import Decoder, room
from drivers.velodyne.scans import Scans
from pipeline.operator import prepare

HOST_NS = 1_700_000_000_000_000_000


def scans_of(packets, model=None, **kwargs):
    """[(ns, bytes)] in order of arrival -> the Scans that got them, flushed."""
    scans = Scans(model, **kwargs)
    for ns, data in packets:
        scans.push(data, HOST_NS + ns)
    scans.flush()
    return scans


def cloud_of(scan, lasers="", **limits):
    """-> points, rings, times."""
    num = room(scan)
    points, rings, times = np.empty((num, 4), np.float32), np.empty(num, np.uint8), np.empty(num, np.float32)
    count, lost = Decoder(scan.model, calibration_of(scan.model, lasers), **limits).fill(scan, points, rings, times)
    assert not lost
    return points[:count], rings[:count], times[:count]


def readings_of(cls, config, wanted=None):
    source = prepare(cls(), "velo", config, wanted=wanted)
    source.open()
    readings = []
    while (reading := source.read()) is not None:
        readings.append(reading)
    source.close()
    return readings


def pcap_of(path, packets):
    """[(ns, payload)] as tcpdump writes it."""
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for ns, payload in packets:
        frame = capture_files.ethernet(capture_files.ipv4(capture_files.udp(payload)))
        data += struct.pack("<IIII", *divmod(HOST_NS + ns, 10**9), len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path
