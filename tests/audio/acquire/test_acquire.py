"""Shards of recordings: which ones they are, whatever the source."""

import pytest

from weakneg.errors import UserError


def test_shards_are_consecutive_rows_of_a_split_and_stay_so_when_rows_are_added(in_folder):
    rows = [{"id": f"{n}", "split": "test" if n % 3 == 0 else "train"} for n in range(20)]
    of_split = [row["id"] for row in rows if row["split"] == "train"]
    shards = [[row["id"] for row in in_folder(rows, shard=n, size=5)] for n in range(3)]
    assert shards == [of_split[:5], of_split[5:10], of_split[10:]]
    more = [*rows, {"id": "20"}]
    assert [row["id"] for row in in_folder(more, shard=1, size=5)] == shards[1]
    assert [row["id"] for row in in_folder(more, shard=2, size=5)] == [*shards[2], "20"]


def test_a_shard_that_the_list_does_not_have_is_an_error(in_folder):
    with pytest.raises(
        UserError, match="there is no shard 1 of the train split: the list has 1 recordings"
    ):
        in_folder([{"id": "a"}], shard=1)
