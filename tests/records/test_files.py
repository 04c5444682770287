"""Files: whole or not at all, and no damage is read as data."""

import numpy as np
import pytest
import runs

from robustbench_rec.records.files import has_valid_checksum, sealed, unzipped, zipped

ARRAYS = {
    "users": np.arange(40),
    "ndcg@20": np.random.default_rng(0).random(40).astype(np.float16),
    "ids": np.array(["a", "bc"]),
}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_arrays_come_back(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(zipped(ARRAYS))
    assert same(unzipped(path), ARRAYS)
    with pytest.raises(FileNotFoundError):
        unzipped(tmp_path / "none.npz")
    with pytest.raises(TypeError, match="odd holds objects"):
        zipped({"odd": np.array([None])})


@pytest.mark.parametrize("flip", [0xFF, 0x01, 0x80])
def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path, flip):
    """A zip has fields that nobody reads; any other byte is missed."""
    path, whole = tmp_path / "x.npz", zipped(ARRAYS)
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        try:
            assert same(unzipped(path), ARRAYS), at
        except (ValueError, OSError):
            refused += 1
    assert refused > len(whole) / 2


def test_a_cut_file_is_an_error(tmp_path):
    path, whole = tmp_path / "x.npz", zipped(ARRAYS)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises((ValueError, OSError)):
            unzipped(path)


def test_a_seal_is_of_every_byte():
    text = sealed(runs.record())
    seal = text.split(b'"checksum": "')[1][:32].decode()
    assert has_valid_checksum(text, seal)
    body = text.index(seal.encode()) + 32
    for at in [*range(text.index(seal.encode()) - 14), *range(body, len(text))]:
        changed = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        assert not has_valid_checksum(changed, seal), at
