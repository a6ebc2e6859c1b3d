import importlib.util

import pytest


@pytest.fixture
def sdk():
    """The package; skips the test without it."""
    if importlib.util.find_spec("ouster") is None:
        pytest.skip("needs ouster-sdk: pip install 'perception-pipe[ouster]'")
    import ouster.sdk.core

    return ouster.sdk.core
