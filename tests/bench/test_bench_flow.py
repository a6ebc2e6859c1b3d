import pytest

from bench import flow


@pytest.mark.slow
def test_all_of_it_in_small(capsys):
    out = flow.main()
    assert set(out["stall"]) == set(flow.STALLS) and set(out["overload"]) == set(flow.POLICIES)
    assert all(row["old"] <= 1 and row["oldest_ms"] > 900 for row in out["stall"].values()), out["stall"]
    for policy, row in out["overload"].items():
        assert row["produced"] == 60 and 15 <= row["delivered"] <= 45
        if "block" not in policy:
            assert set(row["dropped"]) == {"before.out->costly.data"} and row["computed"] == row["delivered"]
    assert out["figures"]["stall of 1 s.chain.old"] <= 1
    assert "2x overload" in capsys.readouterr().out
