"""Metadata, packets and captures of Ouster sensors that do not exist. Packets are made by ouster-sdk."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SERIAL = 992200000007


def metadata(beams=16, columns=64, profile="RNG19_RFL8_SIG16_NIR16", window=None, each=16, new=False, clock="", **more) -> str:
    """The json of a sensor; new: as firmware 3 writes it."""
    data_format = {
        "column_window": list(window or (0, columns - 1)), "columns_per_frame": columns, "columns_per_packet": each,
        "pixel_shift_by_row": [k % 4 * 2 for k in range(beams)], "pixels_per_column": beams, "udp_profile_imu": "LEGACY",
        "udp_profile_lidar": profile,
    }  # fmt: skip
    beam = {
        "beam_altitude_angles": np.linspace(22.5, -22.5, beams).round(2).tolist(),
        "beam_azimuth_angles": [round(3.1 - k % 4 * 2.1, 2) for k in range(beams)],
        "lidar_origin_to_beam_origin_mm": 15.806,
    }
    to_sensor = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 36.18, 0, 0, 0, 1]
    info = {
        "prod_line": f"OS-1-{beams}", "prod_sn": str(SERIAL), "prod_pn": "", "status": "RUNNING", "initialization_id": 77,
        "build_rev": "v3.1.0", "image_rev": "ousteros-image-prod-bootes-v3.1.0", "build_date": "2023-01-01T00:00:00Z",
    }  # fmt: skip
    mode = {"lidar_mode": f"{columns}x10"} if columns in (512, 1024, 2048) else {"lidar_mode": "1024x10"}
    if new:
        config = {**mode, "timestamp_mode": clock or "TIME_FROM_INTERNAL_OSC", "udp_profile_lidar": profile}
        made = {
            "sensor_info": info, "beam_intrinsics": beam, "lidar_data_format": data_format, "config_params": config,
            "lidar_intrinsics": {"lidar_to_sensor_transform": to_sensor}, "calibration_status": {},
            "imu_intrinsics": {"imu_to_sensor_transform": np.eye(4).ravel().tolist()},
        }  # fmt: skip
    else:
        made = {
            **info, **beam, **mode, "data_format": data_format, "lidar_to_sensor_transform": to_sensor, "hostname": "",
            "imu_to_sensor_transform": np.eye(4).ravel().tolist(), **({"timestamp_mode": clock} if clock else {}),
        }  # fmt: skip
    return json.dumps(made | more)


class Made:
    """Turns of random ranges: `frames`, the SDK's own, and `packets`, the datagrams of each."""

    def __init__(self, text: str, num: int, seed: int = 0, first_id: int = 100, start_ns: int = 5_000_000_000) -> None:
        import ouster.sdk.core as core

        self.info = core.SensorInfo(text)
        layout = core.PacketFormat(self.info)
        draw = np.random.default_rng(seed)
        width, self.period_ns = self.info.w, 100_000_000
        self.frames, self.packets = [], []
        for k in range(num):
            frame = core.LidarFrame(self.info)
            for name in frame.fields:
                field = frame.field(name)
                if field.dtype.kind == "u" and "RAW" not in name:
                    top = layout.field_value_mask(name)
                    field[:] = draw.integers(0, min(top, np.iinfo(field.dtype).max) + 1, field.shape, field.dtype)
                if name.startswith("RANGE"):
                    field[:] = np.where(draw.random(field.shape) < 0.3, 0, field % 200_000 // 8 * 8)  # up to 200 m
            frame.frame_id = (first_id + k) % (layout.max_frame_id + 1)
            frame.measurement_id[:] = np.arange(width)
            first, last = self.info.format.column_window
            inside = (np.arange(width) - first) % width <= (last - first) % width
            frame.status[:] = np.where(inside, 0xFFFFFFFF if layout.col_footer_size else 1, 0)
            order = (np.arange(width) - first) % width if first > last else np.arange(width)
            frame.timestamp[:] = start_ns + k * self.period_ns + order * self.period_ns // width
            for name in frame.fields:
                frame.field(name)[:, ~inside] = 0
            self.frames.append(frame)
            made = core.frame_to_packets(frame, layout, self.info.init_id, int(self.info.sn))
            self.packets.append([bytes(p.buf) for p in made if isinstance(p, core.LidarPacket)])

    def arrivals(self) -> list[tuple[int, bytes]]:
        """Each packet, 50 us after its last column, by a host whose clock is 1,000 s ahead."""
        out = []
        for frame, packets in zip(self.frames, self.packets, strict=True):
            end_ns = int(frame.timestamp.max()) - self.period_ns + self.period_ns // self.info.w
            out += [
                (1_000_000_050_000 + end_ns + self.period_ns * (k + 1) // len(packets), data) for k, data in enumerate(packets)
            ]
        return out


def write_capture(path: Path, datagrams: Iterable[tuple[int, bytes]], port=7502, mtu=1500) -> Path:
    """(stamp_ns, payload) -> a pcap file; payloads above the MTU become IPv4 fragments."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for number, (stamp_ns, payload) in enumerate(datagrams):
            data = struct.pack(">HHHH", 7502, port, 8 + len(payload), 0) + payload
            size = (mtu - 20) // 8 * 8
            for at in range(0, len(data), size):
                part = data[at : at + size]
                flags = (at // 8) | (0x2000 if at + size < len(data) else 0)
                ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(part), number & 0xFFFF, flags, 64, 17, 0)
                ip += bytes([192, 168, 1, 77, 192, 168, 1, 1])
                frame = b"\0" * 12 + b"\x08\x00" + ip + part
                file.write(struct.pack("<IIII", stamp_ns // 10**9, stamp_ns % 10**9, len(frame), len(frame)) + frame)
    return path
