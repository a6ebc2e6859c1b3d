"""Can an input of a join be paired with its trigger: always, sometimes, never? Decided from stamps if known, else from rates.

A derived frame keeps the stamp of its trigger, so every stream has the stamps of one source. Known stamps are counted. Without
stamps, streams of one source have equal stamps, and streams of two sources have an unknown phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipeline.graph.spec import GraphSpec, NodeSpec


@dataclass(frozen=True)
class Verdict:
    """A problem of one input. never: no set can be made; otherwise only some sets can."""

    never: bool
    text: str


def judge(spec: GraphSpec, node: NodeSpec, port: str) -> Verdict | None:
    """What is wrong with this input of a join; None = nothing."""
    sync, trigger = node.sync, node.trigger
    assert sync is not None and trigger is not None
    mine, other = node.inputs[trigger], node.inputs[port]
    names = f"{other.source_node}.{other.source_port}", f"{mine.source_node}.{mine.source_port}"
    offset_ms = sync.offset_ms.get(port, 0.0) - sync.offset_ms.get(trigger, 0.0)
    before_ms, after_ms = window_ms(spec, node, offset_ms)
    if after_ms < -before_ms:
        return Verdict(
            True,
            f"{names[0]} can never match: its frames count {-offset_ms:g} ms before they arrive (offset_ms), "
            f"and a frame of {names[1]} waits {sync.timeout_ms:g} ms; raise timeout_ms",
        )
    stamps = _stamps(spec, mine.source_node), _stamps(spec, other.source_node)
    if stamps[0] is not None and stamps[1] is not None:
        if not len(stamps[0]):
            return None
        return _count(stamps[0], stamps[1] + round(offset_ms * 1e6), before_ms, after_ms, names)
    if sync.policy == "latest":
        return None
    roots = spec.origin(mine.source_node), spec.origin(other.source_node)
    rates = spec.rate(mine.source_node), spec.rate(other.source_node)
    if roots[0] == roots[1]:
        return _one_source(offset_ms, rates, before_ms, after_ms, names, sync.policy)
    if before_ms + after_ms == 0:
        if any(spec.nodes[root].live for root in roots):
            hint = "; use policy: nearest with tolerance_ms"
            return Verdict(False, f"{names[0]} matches only by chance: stamps of live sources are never exactly equal{hint}")
        return _exact_rates(rates, names)
    return _nearest_rates(rates, before_ms, after_ms, names)


def window_ms(spec: GraphSpec, node: NodeSpec, offset_ms: float) -> tuple[float, float]:
    """How far before and after its trigger a frame may lie. The timeout limits the time after: offline by stamps, live by
    arrival, which is offset_ms before the adjusted stamp."""
    sync = node.sync
    assert sync is not None
    before_ms = {"exact": 0.0, "nearest": sync.tolerance_ms, "latest": float("inf")}[sync.policy]
    after_ms = 0.0 if sync.policy == "latest" else before_ms
    if sync.timeout_ms is not None:
        after_ms = min(after_ms, sync.timeout_ms + (offset_ms if spec.live else 0.0))
    return before_ms, after_ms


def _stamps(spec: GraphSpec, name: str) -> np.ndarray | None:
    """Stamps of a node's frames, sorted; None where unknown, or where an operator declares a rate of its own."""
    node = spec.nodes[name]
    if node.is_source:
        stamps = spec.find(name).stamps_ns
        return None if stamps is None else np.unique(np.asarray(stamps, np.int64))
    if node.rate_hz is not None or node.trigger is None:
        return None
    return _stamps(spec, node.inputs[node.trigger].source_node)


def _count(triggers: np.ndarray, others: np.ndarray, before_ms: float, after_ms: float, names: tuple[str, str]) -> Verdict | None:
    low = np.searchsorted(others, triggers - round(min(before_ms, 1e9) * 1e6), "left")
    high = np.searchsorted(others, triggers + round(after_ms * 1e6), "right")
    fits = int(np.count_nonzero(high > (0 if before_ms == float("inf") else low)))
    if fits == len(triggers):
        return None
    if before_ms == float("inf"):
        first_s = (int(others[0]) - int(triggers[0])) * 1e-9 if len(others) else float("inf")
        why = f"its first frame comes {first_s:.3g} s after the first of {names[1]}"
        hint = "choose another trigger or make it optional"
    else:
        why = f"it needs a frame {_within(before_ms, after_ms)} and the closest ones are {_distances(triggers, others)} away"
        hint = "use policy: nearest, tolerance_ms or offset_ms" if before_ms == 0 else "raise tolerance_ms or set offset_ms"
    if fits == 0:
        return Verdict(True, f"{names[0]} can never match {names[1]}: {why}; {hint}")
    return Verdict(False, f"{names[0]} matches {fits} of {len(triggers)} frames of {names[1]}: {why}; {hint}")


def _distances(triggers: np.ndarray, others: np.ndarray) -> str:
    if not len(others):
        return "infinitely far"
    after = np.searchsorted(others, triggers)
    left = np.abs(triggers - others[np.clip(after - 1, 0, len(others) - 1)])
    right = np.abs(others[np.clip(after, 0, len(others) - 1)] - triggers)
    distance_ms = np.minimum(left, right) * 1e-6
    low, high = float(distance_ms.min()), float(distance_ms.max())
    return f"{low:.4g} ms" if low == high else f"{low:.4g} .. {high:.4g} ms"


def _within(before_ms: float, after_ms: float) -> str:
    if before_ms == after_ms:
        return "at the same stamp" if before_ms == 0 else f"within {before_ms:g} ms"
    return f"from {before_ms:g} ms before to {after_ms:g} ms after"


def _one_source(
    offset_ms: float,
    rates: tuple[float | None, float | None],
    before_ms: float,
    after_ms: float,
    names: tuple[str, str],
    policy: str,
) -> Verdict | None:
    """Both streams have the same stamps, so only offset_ms separates them, modulo whole periods."""
    if -before_ms <= offset_ms <= after_ms or rates[0] is None or rates[1] is None:
        return None
    period_ms = 1e3 / rates[1]
    # frames lie at offset + k periods; some k is inside the window when a whole multiple fits between its ends
    k = np.ceil((-before_ms - offset_ms) / period_ms - 1e-9)
    if offset_ms + k * period_ms <= after_ms + 1e-9:
        return None
    return Verdict(
        True,
        f"{names[0]} can never match {names[1]}: both carry the stamps of one source, offset_ms moves them {abs(offset_ms):g} ms "
        f"apart, and {policy} needs a frame {_within(before_ms, after_ms)}; drop offset_ms or raise tolerance_ms",
    )


def _exact_rates(rates: tuple[float | None, float | None], names: tuple[str, str]) -> Verdict | None:
    if rates[0] is None or rates[1] is None:
        return None
    ratio = (Fraction(rates[1]) / Fraction(rates[0])).limit_denominator(1000)
    if ratio.denominator == 1:
        return None  # every trigger may have a partner if both start together
    return Verdict(
        False,
        f"{names[0]} at {rates[1]:g} Hz has a frame at the same stamp for at most 1 of {ratio.denominator} frames of {names[1]} "
        f"at {rates[0]:g} Hz; use policy: nearest with tolerance_ms",
    )


def _nearest_rates(
    rates: tuple[float | None, float | None], before_ms: float, after_ms: float, names: tuple[str, str]
) -> Verdict | None:
    if rates[1] is None:
        return None
    period_ms = 1e3 / rates[1]
    if before_ms + after_ms >= period_ms * (1 - 1e-9):
        return None  # every trigger has a frame in reach, at any phase
    needed = f"tolerance_ms {period_ms / 2:.4g} is sure (half of its {period_ms:.4g} ms period)"
    if rates[0] == rates[1]:
        return Verdict(
            False,
            f"{names[0]} matches all or none of {names[1]}: both run at {rates[1]:g} Hz at an unknown phase, and it needs a "
            f"frame {_within(before_ms, after_ms)}; {needed}",
        )
    share = (before_ms + after_ms) / period_ms
    return Verdict(
        False,
        f"{names[0]} at {rates[1]:g} Hz matches about {share:.0%} of the frames of {names[1]}: it needs a frame "
        f"{_within(before_ms, after_ms)}; {needed}",
    )
