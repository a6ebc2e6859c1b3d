"""The Velodyne models: what a packet of each says about itself, and when and where its lasers fire.

Angles and times are those of the user manuals: VLP-16 63-9243, Puck Hi-Res 63-9318, VLP-32C 63-9325, HDL-32E 63-9277,
HDL-64E S2 63-HDL64ES2, S3 63-HDL64ES3. The lasers of an HDL-64E differ from unit to unit: calibration.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

PACKET_BYTES: Final = 1206
BLOCKS: Final = 12
LASERS_OF_BLOCK: Final = 32
TURN: Final = 36_000
"""Azimuths are hundredths of a degree."""
UPPER, LOWER = 0xEEFF, 0xDDFF
DUAL: Final = 0x39
RETURNS: Final = {0x37: "strongest", 0x38: "last", DUAL: "dual"}

_BLOCK_HEADS: Final = struct.Struct("<" + "HH96x" * BLOCKS)
_TAIL: Final = struct.Struct("<IBB")

Name = Literal["VLP-16", "Puck LITE", "Puck Hi-Res", "VLP-32C", "HDL-32E", "HDL-64E", "HDL-64E S3"]


class WrongModel(ValueError):
    """The packets are of another model than needed. The text says needed and got."""


@dataclass(frozen=True, slots=True)
class Model:
    """A column is one firing of all lasers. Ticks count from the first laser of a column's block on.

    factory         last byte of its packets; None: the model sends something else there
    halves          columns in one block
    blocks          blocks in which one column lies
    cycle           ticks from one block, or pair of blocks, to the next
    ticks           when each laser of a block fires
    """

    name: Name
    factory: int | None
    lasers: int
    halves: int
    blocks: int
    distance_m: float
    tick_ns: float
    cycle: int
    ticks: tuple[int, ...]
    vertical_deg: tuple[float, ...] = ()
    azimuth_deg: tuple[float, ...] = ()

    def columns(self, dual: bool) -> int:
        """In one packet."""
        return BLOCKS // (self.blocks * (2 if dual else 1)) * self.halves

    @property
    def column_ns(self) -> float:
        return self.cycle * self.tick_ns / self.halves

    def packet_ns(self, dual: bool) -> float:
        """From one packet to the next."""
        return self.columns(dual) * self.column_ns

    @property
    def points_per_s(self) -> float:
        """At most, with two returns."""
        return 2 * self.lasers / self.column_ns * 1e9


_VLP_16 = (-15.0, 1.0, -13.0, 3.0, -11.0, 5.0, -9.0, 7.0, -7.0, 9.0, -5.0, 11.0, -3.0, 13.0, -1.0, 15.0)
_HI_RES = (-10.0, 0.667, -8.667, 2.0, -7.333, 3.333, -6.0, 4.667, -4.667, 6.0, -3.333, 7.333, -2.0, 8.667, -0.667, 10.0)
_VLP_32C = (
    -25.0, -1.0, -1.667, -15.639, -11.31, 0.0, -0.667, -8.843, -7.254, 0.333, -0.333, -6.148, -5.333, 1.333, 0.667, -4.0,
    -4.667, 1.667, 1.0, -3.667, -3.333, 3.333, 2.333, -2.667, -3.0, 7.0, 4.667, -2.333, -2.0, 15.0, 10.333, -1.333,
)  # fmt: skip
_VLP_32C_AZIMUTH = (
    1.4, -4.2, 1.4, -1.4, 1.4, -1.4, 4.2, -1.4, 1.4, -4.2, 1.4, -1.4, 4.2, -1.4, 4.2, -1.4,
    1.4, -4.2, 1.4, -4.2, 4.2, -1.4, 1.4, -1.4, 1.4, -1.4, 1.4, -4.2, 4.2, -1.4, 1.4, -1.4,
)  # fmt: skip
_HDL_32E = tuple(round(value / 3, 2) for k in range(-92, -28, 4) for value in (k, k + 64))


def _puck(name: Name, factory: int, vertical_deg: tuple[float, ...]) -> Model:
    return Model(name, factory, 16, 2, 1, 0.002, 2304.0, 48, (*range(16), *range(24, 40)), vertical_deg, (0.0,) * 16)


def _hdl_64e(name: Name, cycle: int, group: int, within: Sequence[int]) -> Model:
    """Groups of four lasers of each bank fire after one another; both banks together."""
    ticks = tuple(group * (j // 4) + within[j % 4] for j in range(32))
    return Model(name, None, 64, 1, 2, 0.002, 20.0, cycle, ticks)


MODELS: Final[dict[str, Model]] = {
    model.name: model
    for model in (
        _puck("VLP-16", 0x22, _VLP_16),
        _puck("Puck LITE", 0x22, _VLP_16),
        _puck("Puck Hi-Res", 0x24, _HI_RES),
        Model("VLP-32C", 0x28, 32, 1, 1, 0.004, 2304.0, 24, tuple(j // 2 for j in range(32)), _VLP_32C, _VLP_32C_AZIMUTH),
        Model("HDL-32E", 0x21, 32, 1, 1, 0.002, 1152.0, 40, tuple(range(32)), _HDL_32E, (0.0,) * 32),
        _hdl_64e("HDL-64E", 2400, 300, (0, 63, 123, 183)),
        _hdl_64e("HDL-64E S3", 2880, 360, (0, 65, 125, 185)),
    )
}
_BY_FACTORY = {model.factory: model for model in MODELS.values() if model.factory is not None and model.name != "Puck LITE"}
_OTHERS = {0x23: "VLP-32A or VLP-32B", 0x31: "Velarray", 0x63: "VLS-128", 0xA1: "VLS-128 (Alpha Prime)"}
"""Factory bytes of models that are not read."""


class Head(NamedTuple):
    """What a packet says apart from its points.

    us          microseconds past the hour, of the first firing
    dual        each column comes twice: its last, then its strongest return
    azimuths    of its blocks, or pairs of blocks, in order; a dual packet's once [hundredths of a degree]
    """

    us: int
    dual: bool
    azimuths: tuple[int, ...]


def model_of(data: bytes) -> Model:
    """The model that sent this packet. Raises WrongModel."""
    heads = _BLOCK_HEADS.unpack_from(data)
    if set(heads[::2]) == {UPPER, LOWER}:
        return MODELS["HDL-64E"]
    if data[-1] in _BY_FACTORY:
        return _BY_FACTORY[data[-1]]
    needs = f"needs packets of {', '.join(MODELS)}"
    if data[-1] in _OTHERS:
        raise WrongModel(f"{needs}, got {_OTHERS[data[-1]]} (factory byte {data[-1]:#04x})")
    raise WrongModel(f"{needs}, got factory byte {data[-1]:#04x}; set config.model if the firmware is older than this byte")


def check_model(model: Model, data: bytes) -> None:
    """Raises WrongModel if another model sent this packet. Old firmware sends no factory byte that is known: it passes."""
    banks = set(_BLOCK_HEADS.unpack_from(data)[::2])
    known = {**{byte: found.name for byte, found in _BY_FACTORY.items()}, **_OTHERS}
    got = ""
    if model.factory is None or LOWER in banks:
        if (model.factory is None) != (banks == {UPPER, LOWER}):
            got = (
                known.get(data[-1], "of one bank of lasers") if model.factory is None else "two banks of lasers, as of a HDL-64E"
            )
    elif data[-1] in known and data[-1] != model.factory:
        got = f"{known[data[-1]]} (factory byte {data[-1]:#04x})"
    if got:
        raise WrongModel(f"needs packets of a {model.name}, got {got}; set config.model: auto")


def head_of(model: Model, data: bytes) -> Head | str:
    """Of a packet of PACKET_BYTES; a text about what is wrong with it otherwise."""
    heads = _BLOCK_HEADS.unpack_from(data)
    us, mode, _ = _TAIL.unpack_from(data, PACKET_BYTES - _TAIL.size)
    banks, azimuths = heads[::2], heads[1::2]
    if model.blocks == 2:
        if banks[::2] != (UPPER,) * 6 or banks[1::2] != (LOWER,) * 6:
            return f"needs blocks of the upper and the lower bank in turn, got {banks[0]:04x} {banks[1]:04x} ..."
        dual = azimuths[0] == azimuths[2] and azimuths[4] == azimuths[6] and azimuths[8] == azimuths[10]
    else:
        if banks != (UPPER,) * BLOCKS:
            wrong = next(bank for bank in banks if bank != UPPER)
            return f"needs {BLOCKS} blocks that begin with {UPPER:04x}, got {wrong:04x}"
        dual = mode == DUAL or (mode not in RETURNS and azimuths[::2] == azimuths[1::2])
    azimuths = azimuths[:: model.blocks * (2 if dual else 1)]
    if max(azimuths) >= TURN:
        return f"needs azimuths below 360 degrees, got {max(azimuths) / 100:g}"
    if us >= 3_600_000_000:
        return f"needs a time below an hour, got {us * 1e-6:.0f} s"
    return Head(us, dual, azimuths)
