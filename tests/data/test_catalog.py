"""Finding data sets by name or path, and the published ones against their published sizes."""

import gzip
import zipfile
from pathlib import Path

import pytest

from robustbench_rec import DATASETS, InputError, spec
from robustbench_rec.components.settings import plain
from robustbench_rec.data.catalog import (
    KNOWN_SIZES,
    FileDataset,
    data_here,
    default_data_dir,
    inventory,
    resolve,
)
from robustbench_rec.data.preparation import load

LOG = "user,item,rating\n" + "".join(f"{u},{i},{1 + u % 5}\n" for u in range(12) for i in range(11))
CSV = "user,item\n1,2\n1,3\n2,2\n2,3\n"


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.csv").write_text(CSV)
    return folder


def test_a_registered_name_is_built(data_dir):
    dataset = resolve({"name": "movielens-100k", "valid": 0.2}, data_dir, Path())
    assert type(dataset) is DATASETS["movielens-100k"]
    assert spec(dataset).startswith("movielens-100k(min_rating=3, k_core=10, ")


def test_a_file_in_the_data_folder_is_a_data_set(data_dir):
    dataset = resolve({"name": "mine", "k_core": 1}, data_dir, Path())
    assert spec(dataset) == (
        "mine(min_rating=0, k_core=1, split_by=ratio, test=0.2, resplit=False, valid=0.1, "
        "hold_out=0, hold_out_by=user, held_out=removed)"
    )
    assert load(dataset, data_dir, 0).n_users == 2


@pytest.mark.parametrize("name", ["own", "movielens-1m"])
def test_a_relative_path_starts_from_the_suite(tmp_path, data_dir, name):
    dataset = resolve({"name": name, "path": "data/mine.csv"}, Path("nowhere"), tmp_path)
    assert dataset.path == str(data_dir / "mine.csv")
    assert len(dataset.read(Path("nowhere")).train.users) == 4


@pytest.mark.parametrize(
    "table",
    [
        {"name": "mine"},
        {"name": "own", "path": "data/mine.csv", "user_column": "item", "item_column": "user"},
        {"name": "movielens-1m", "path": "data/mine.csv"},
        {"name": "synthetic", "n_users": 50},
    ],
)
def test_its_plain_form_resolves_to_the_same(tmp_path, data_dir, table):
    dataset = resolve(table, data_dir, tmp_path)
    again = resolve(plain(dataset), data_dir, Path("elsewhere"))
    assert again == dataset
    assert spec(again) == spec(dataset)
    assert again.fingerprint(data_dir) == dataset.fingerprint(data_dir)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"name": "movielens-10k"},
            r"no data set named 'movielens-10k'; did you mean 'movielens-100k'\?.*"
            r"and no data of yours in .*looked for movielens-10k, as a folder or with .*`path`",
        ),
        ({"name": "mine", "kcore": 3}, r"mine has no setting 'kcore'; did you mean 'k_core'\?"),
        ({"name": "mine", "label": "other"}, r"mine has the label 'other'; delete it"),
        ({"name": "mine", "format": "xls"}, r"mine\.format is 'xls'"),
        ({"name": "mine\n", "path": "mine.csv"}, r"data set name 'mine\\n' must match"),
        ({"name": "../mine"}, r"data set name '\.\./mine' must match"),
        ({"name": "synthetic", "path": "x"}, r"synthetic has no setting 'path'"),
        ({}, r"needs a `name`"),
    ],
)
def test_a_bad_table_is_refused(data_dir, table, says):
    with pytest.raises(InputError, match=says):
        resolve(table, data_dir, Path())


def test_missing_files_say_where_and_how(tmp_path):
    with pytest.raises(
        InputError,
        match=r"no data for 'movielens-100k' in .*looked for movielens-100k and ml-100k.*; "
        r"run `robustbench-rec data fetch movielens-100k`",
    ):
        DATASETS["movielens-100k"]().read(tmp_path)
    with pytest.raises(InputError, match=r"no such file or folder: .*gone\.csv"):
        resolve({"name": "own", "path": "gone.csv"}, tmp_path, tmp_path).read(tmp_path)


def test_filters_of_movielens_apply_to_a_raw_log(tmp_path):
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "ratings.csv").write_text(LOG)
    # Ratings below 3 go with users 0, 1, 5, 6, 10 and 11, which leaves 6 users: no 10-core.
    dataset = DATASETS["movielens-100k"]
    assert load(dataset(k_core=5), tmp_path, 0).user_ids.tolist() == [2, 3, 4, 7, 8, 9]
    with pytest.raises(InputError, match=r"movielens-100k: k_core=10 leaves 0 users"):
        load(dataset(), tmp_path, 0)


def test_the_fingerprint_follows_content_and_how_it_is_read(tmp_path, data_dir):
    def printed(**settings):
        return FileDataset(path=str(data_dir / "mine.csv"), **settings).fingerprint(tmp_path)

    before = printed()
    assert len(before) == 16
    assert printed(k_core=3) == before
    assert printed(user_column="item") != before
    (data_dir / "mine.csv").write_text(CSV.replace("2,3", "2,4"))
    assert printed() != before


def test_how_rows_are_read_tells_fingerprints_apart_and_its_defaults_do_not(data_dir):
    def printed(**settings):
        return FileDataset(path=str(data_dir / "mine.csv"), **settings).fingerprint(data_dir)

    assert printed() == printed(header=True, duplicates="refuse")
    ways = [{}, {"header": False}, {"duplicates": "first"}, {"duplicates": "max"}]
    assert len({printed(**way) for way in ways}) == len(ways)


def test_a_column_is_needed_by_the_setting_that_uses_it(data_dir):
    (data_dir / "mine.csv").write_text(
        "user,item,rating,time\n" + "1,2,,x\n1,3,,x\n2,2,,x\n2,3,,x\n"
    )
    assert load(resolve({"name": "mine"}, data_dir, Path()), data_dir, 0).n_users == 2
    for settings, says in (
        ({"min_rating": 3.0}, "no rating"),
        ({"split_by": "time"}, "'x' is not"),
    ):
        with pytest.raises(InputError, match=says):
            load(resolve({"name": "mine", **settings}, data_dir, Path()), data_dir, 0)


def test_parts_that_come_split_need_no_ratings_for_a_filter_of_logs(data_dir):
    (data_dir / "ml-1m").mkdir()
    train = "".join(f"{user},{item},\n" for user in range(4) for item in (1, 2, 3) if item - user)
    (data_dir / "ml-1m" / "train.csv").write_text("user,item,rating\n" + train)
    (data_dir / "ml-1m" / "test.csv").write_text("user,item,rating\n1,1,\n2,2,\n")
    assert DATASETS["movielens-1m"]().read(data_dir).test.users.tolist() == [1, 2]
    with pytest.raises(InputError, match=r"train\.csv, line 2: no rating"):
        DATASETS["movielens-1m"](resplit=True).read(data_dir)


def test_each_name_finds_its_own_file(data_dir):
    (data_dir / "other.csv").write_text("user,item\n7,8\n")
    raw = resolve({"name": "other"}, data_dir, Path()).read(data_dir)
    assert raw.train.users.tolist() == [7]


def test_headless_and_compressed_files_are_data_sets(data_dir):
    (data_dir / "packed.csv.gz").write_bytes(gzip.compress(CSV.partition("\n")[2].encode()))
    (data_dir / "repeats.csv").write_text(CSV + "2,3\n")
    packed = resolve({"name": "packed", "header": False}, data_dir, Path())
    repeats = resolve({"name": "repeats", "duplicates": "first"}, data_dir, Path())
    assert load(packed, data_dir, 0).n_items == load(repeats, data_dir, 0).n_items == 2
    assert {"mine", "packed", "repeats"} <= {row.name for row in inventory(data_dir)}


@pytest.mark.parametrize("path", ["~nosuchuser/x.csv", "a\0b", "loop/x"])
def test_a_path_that_leads_nowhere_is_named(tmp_path, path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match=r"leads nowhere: .") as caught:
        resolve({"name": "mine", "path": path}, tmp_path, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_zip_and_its_folder_have_one_fingerprint(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for name, text in (("train.csv", CSV), ("test.csv", "user,item\n1,9\n")):
            (folder / name).write_text(text)
            archive.write(folder / name, name)
    prints = {
        FileDataset(path=str(path)).fingerprint(tmp_path) for path in (folder, tmp_path / "own.zip")
    }
    assert len(prints) == 1


def test_the_inventory_lists_known_present_and_own(data_dir):
    (data_dir / "movielens-1m.zip").touch()
    (data_dir / "notes.md").touch()
    (data_dir / "broken.zip").write_text("no zip")
    rows = {row.name: row for row in inventory(data_dir)}
    assert set(rows) == {*DATASETS, "mine"}
    assert rows["mine"].present == data_dir / "mine.csv"
    assert rows["movielens-1m"].ready
    assert not rows["movielens-100k"].ready
    assert "data fetch" in rows["movielens-100k"].how_to_get
    assert rows["synthetic"].ready
    assert rows["synthetic"].present is None
    assert all(row.about for row in rows.values())
    assert len(inventory(data_dir / "nowhere")) == len(DATASETS)


def test_a_data_folder_that_cannot_be_read_holds_nothing(data_dir, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert len(inventory(data_dir)) == len(DATASETS)
    with pytest.raises(InputError, match="no data set named 'nothing'"):
        resolve({"name": "nothing"}, data_dir, data_dir)


def test_the_data_folder_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("ROBUSTBENCH_REC_DATA", "somewhere")
    assert default_data_dir() == Path("somewhere")
    monkeypatch.delenv("ROBUSTBENCH_REC_DATA")
    assert "robustbench-rec" in str(default_data_dir())


def test_another_machine_looks_in_its_own_folder_where_that_of_the_run_is_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ROBUSTBENCH_REC_DATA", str(tmp_path / "own"))
    assert data_here(str(tmp_path)) == tmp_path
    assert data_here(str(tmp_path / "elsewhere")) == tmp_path / "own"


def test_known_sizes_are_listed_and_others_left_open(data_dir):
    rows = {row.name: row for row in inventory(data_dir)}
    assert {name for name, row in rows.items() if row.pairs is None} == {"mine"}
    world = load(DATASETS["synthetic"](), data_dir, seed=3)
    pairs = len(world.seen) + len(world.valid) + len(world.test)
    assert (world.n_users, world.n_items, pairs) == KNOWN_SIZES["synthetic"]


@pytest.mark.parametrize("name", ["MINE.CSV", "mine.CSV.GZ", "mine.Zip"])
def test_an_ending_in_upper_case_is_found_and_listed(data_dir, name):
    packed = {".GZ": gzip.compress(CSV.encode())}
    path = data_dir / name.replace("MINE", "other").replace("mine", "other")
    if path.suffix == ".Zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("log.CSV", CSV)
    else:
        path.write_bytes(packed.get(path.suffix, CSV.encode()))
    assert resolve({"name": "other"}, data_dir, data_dir).read(data_dir).train.users.size == 4
    assert {row.name: row for row in inventory(data_dir)}["other"].present == path


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("movielens-100k", 63944, 16449),
        ("movielens-1m", 665133, 169316),
        ("amazon2014-beauty", 20101, 5635),
        ("amazon2014-health", 37784, 10405),
        ("amazon2014-electronic", 182398, 52123),
        ("amazon2014-electronic-popularity", 187616, 46905),
    ],
)
def test_published_sizes(real_data, name, train, test):
    dataset = DATASETS[name]()
    if dataset.find(real_data) is None:
        pytest.skip(f"{name} is not in ROBUSTBENCH_REC_DATA")
    split = load(dataset, real_data, seed=0)
    assert (len(split.train) + len(split.valid), len(split.test)) == (train, test)
    assert (split.n_users, split.n_items, train + test) == KNOWN_SIZES[name]
