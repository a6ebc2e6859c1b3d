"""Recordings read by the standard reader of the package mcap, as other tools do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from mcap_protobuf.decoder import DecoderFactory


def seek(path: Path) -> dict[str, list[int]]:
    """Topic -> frame ids in file order, of a finished recording, through its summary and with all checksums."""
    out: dict[str, list[int]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_summary() is not None
        for _, channel, message in reader.iter_messages(log_time_order=False):
            out.setdefault(channel.topic, []).append(message.sequence)
    return out


def stream(path: Path) -> dict[str, list[int]]:
    """The same from the start to the end of the file, for the recording of a killed run. Only the end may be missing."""
    out: dict[str, list[int]] = {}
    topics: dict[int, str] = {}
    with path.open("rb") as file:
        try:
            for record in StreamReader(file, validate_crcs=True).records:
                if isinstance(record, Channel):
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    out.setdefault(topics[record.channel_id], []).append(record.sequence)
        except EndOfFile:
            pass
    return out


def drops(path: Path) -> list[dict]:
    """Frames lost by the recorder, from its own file: the lines of foxglove.Log on /pipe/drops."""
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [json.loads(entry.decoded_message.message) for entry in reader.iter_decoded_messages("/pipe/drops")]


def check_recorded(path: Path, ended, ports: dict[str, range]) -> None:
    """Every frame of every port is exactly once in the file or in the drops of its edge, and the file names these drops."""
    there = seek(path)
    lost = [d for d in ended.drops if "->_record." in d["edge"]]
    for port, expected in ports.items():
        ids = there.get("/" + port.replace(".", "/"), [])
        gone = [int(d["frame"].rpartition(":")[2]) for d in lost if d["edge"].startswith(f"{port}->")]
        assert ids == sorted(set(ids)), f"{port}: out of order or twice"
        assert Counter(ids) + Counter(gone) == Counter(expected), f"{port}: {len(ids)} there, {gone} lost"
    key = sorted((d["edge"], d["reason"], d["frame"]) for d in lost)
    assert sorted((d["edge"], d["reason"], d["frame"]) for d in drops(path)) == key
