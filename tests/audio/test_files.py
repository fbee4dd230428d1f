"""Files of clips: names of their own, whatever the ids are."""

from weakneg.audio.files import clip_name, nearest
from weakneg.audio.recordings import Recording

NASTY_IDS = ["-dash", "--help", "../up", "/etc/passwd", ".", "..", ".hidden", "a b", "ü/é", "x@3-5"]


def test_clips_have_names_of_their_own_inside_the_folder(tmp_path):
    times = [(None, None), (3.0, 5.0), (0.0, 5.0), (3.0, None)]
    ids = [*NASTY_IDS, "x", "a" * 5000, "a" * 5001, "%2Ehidden", "ü" * 300]
    names = [clip_name(Recording(i, "train", "", *time, ())) for i in ids for time in times]
    assert len(set(names)) == len(names)
    for name in names:
        path = tmp_path / f"{name}.flac"
        assert path.resolve().parent == tmp_path
        assert not name.startswith(".")
        path.write_bytes(b"")
        assert path.stem == name


def test_a_similar_name_is_suggested(tmp_path):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "UPPER.WAV").touch()
    assert nearest("sounds/upper.wav", tmp_path) == "; did you mean sounds/UPPER.WAV?"
    assert nearest("sounds/other.flac", tmp_path) == ""
    assert nearest("nowhere/upper.wav", tmp_path) == ""
