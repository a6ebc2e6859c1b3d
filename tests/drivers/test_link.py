import pytest

from drivers.link import Link

S = 1_000_000_000


def link():
    return Link(1.0, 5.0, (0.5, 4.0), 0)


def test_it_waits_before_the_first_reading_and_tries_ever_more_seldom():
    it, now, pauses = link(), 0, []
    for _ in range(6):
        assert it.pause_ns(now) == 0
        it.connecting()
        it.lose(now, "no such device")
        pauses.append(it.pause_ns(now) / S)
        now += it.pause_ns(now)
    assert pauses == [0.5, 1, 2, 4, 4, 4]
    assert (it.state, it.losses, it.text()) == ("waiting", 0, "waiting: no such device")


def test_one_loss_goes_through_all_states():
    it, states = link(), []
    it.connect(0)
    it.read(1 * S)
    for now, call in [
        (1.9, "silent"), (2.0, "silent"), (5.9, "silent"), (6.0, "silent"), (6.5, "connecting"), (6.5, "lose"),
        (7.5, "connecting"), (7.5, "connect"), (7.6, "silent"), (8.0, "read"), (8.1, "silent"),
    ]:  # fmt: skip
        if call == "silent":
            assert it.silent(round(now * S)) is (now == 6.0)
        elif call == "lose":
            it.lose(round(now * S), "refused")
        else:
            getattr(it, call)(*([] if call == "connecting" else [round(now * S)]))
        states.append(it.state)
    assert states == [
        "running", "stale", "stale", "lost", "reconnecting", "reconnecting",
        "reconnecting", "reconnecting", "reconnecting", "running", "running",
    ]  # fmt: skip
    assert it.text() == "running; lost 1 time, 7.0 s in all"
    it.lose(9 * S, "unplugged")
    assert it.text() == "lost: unplugged; lost 2 times, 7.0 s in all"
    assert it.pause_ns(9 * S) == S // 2, "a reading sets the pause back"


def test_data_that_come_again_end_the_stale_state():
    it = link()
    it.connect(0)
    it.read(0)
    it.silent(2 * S)
    assert it.text() == "stale: no data for 1 s"
    it.read(3 * S)
    assert (it.text(), it.losses) == ("running", 0)


@pytest.mark.parametrize("before", ["waiting", "reconnecting"])
def test_a_connection_without_data_is_opened_again(before):
    """A UDP socket can always be opened, also on a network that has gone."""
    it = link()
    if before == "reconnecting":
        it.connect(0)
        it.read(0)
        it.lose(0, "gone")
        it.connecting()
    it.connect(0)
    assert not it.silent(4 * S) and it.state == before
    assert it.silent(5 * S) and it.state == before and not it.connected
    assert it.pause_ns(5 * S) == 0, "the port must not stay closed"
    assert it.text().startswith(f"{before}: no data for 5 s")
