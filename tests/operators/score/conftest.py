import gzip

import pytest


@pytest.fixture(scope="session")
def golden(shared_data, tmp_path_factory):
    """AB3DMOT's tracks unpacked: folders `tracks` and `tracks_no_ego_motion`."""
    out = tmp_path_factory.mktemp("golden")
    for packed in (shared_data / "golden/ab3dmot").glob("tracks*/*.txt.gz"):
        (out / packed.parent.name).mkdir(exist_ok=True)
        (out / packed.parent.name / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return out
