"""What became of the recordings, counted for each class."""

from recording_lists import write_list

from weakneg.report.acquired import count_acquired


def test_listed_and_available_recordings_of_each_class_are_counted(tmp_path):
    recordings = write_list(
        tmp_path / "recordings.csv",
        [
            {"id": "a", "labels": "Dog;Bark, loud"},
            {"id": "b", "labels": "Dog"},
            {"id": "c", "labels": "Dog", "split": "test"},
            {"id": "d", "labels": ""},
        ],
    )
    shards = [tmp_path / "000.csv", tmp_path / "001.csv"]
    columns = "id,path,start,end,status,message"
    shards[0].write_text(f"{columns}\na,a.flac,,,ok,\nb,,,,private,no | <b>\nd,d.flac,,,ok,\n")
    shards[1].write_text(f"{columns}\nc,,,,private,\n")
    table, text = tmp_path / "acquired.csv", tmp_path / "acquired.md"
    count_acquired(recordings, shards, "dogs", "Dogs", table, text)
    assert table.read_text() == (
        'class,split,listed,ok,share\n"Bark, loud",train,1,1,1.0000\n'
        "Dog,train,2,1,0.5000\nDog,test,1,0,0.0000\n"
    )
    lines = text.read_text().splitlines()
    assert "2 of 4 recordings are available." in lines
    assert "| ok | 2 | 0 |  |" in lines
    assert r"| private | 1 | 1 | no &#124; \<b\> |" in lines
    assert lines.index("| Dog | test | 1 | 0 |") < lines.index("| Dog | train | 2 | 1 |")
