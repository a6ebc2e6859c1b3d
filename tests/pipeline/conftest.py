"""Edges without processes for the tests of flow and runtime."""

import pytest
from local_edges import Local, edge_spec


@pytest.fixture
def make():
    """Makes `Local` edges of specs."""
    made = []

    def local(*specs, **more):
        made.append(Local(*specs, **more))
        return made[-1]

    yield local
    for each in made:
        each.close()


@pytest.fixture
def make_edge(make):
    """Makes a writer with one reader, whose frames are numbered from `first`."""

    def edge(first=0, **spec):
        local = make(edge_spec(**spec))
        local.frame_id = first - 1
        return local

    return edge
