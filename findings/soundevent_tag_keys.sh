#!/bin/sh
# soundevent 2.10.0: the key of a tag is another one after the tag is made or an AOEF file is loaded.
#
# soundevent has terms of vocabularies for common keys, and gives a tag the name of its term. A tag
# that an AOEF file calls "species" is called "dwc:scientificName" once it is loaded, so that
# `[tag.value for tag in tags if tag.key == "species"]` is empty for a file full of species, without
# a word, and `find_tag(tags, key="species")` is None; likewise class, order, family, genus and
# common_name. Other keys, such as "event", stay. `term_from_key("species").name` is the new key.
#
# Output seen:
#
#     species: made as dwc:scientificName, loaded as dwc:scientificName
#     common_name: made as dwc:vernacularName, loaded as dwc:vernacularName
#     class: made as dwc:class, loaded as dwc:class
#     event: made as event, loaded as event
#     with key == 'species': []
#     find_tag(key='species'): None
#
# Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check soundevent==2.10.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import sys

from soundevent import data, io

EXPECTED = {
    "species": "dwc:scientificName",
    "common_name": "dwc:vernacularName",
    "class": "dwc:class",
    "event": "event",
}
ID = "00000000-0000-0000-0000-00000000000"


def loaded(key):
    """The tag of a clip in an AOEF file that calls it `key`."""
    sound = {"uuid": f"{ID}1", "path": "a.wav", "duration": 1, "channels": 1, "samplerate": 8000}
    collection = {
        "uuid": f"{ID}0",
        "collection_type": "annotation_set",
        "tags": [{"id": 0, "key": key, "value": "Strix aluco"}],
        "recordings": [sound],
        "clips": [{"uuid": f"{ID}2", "recording": f"{ID}1", "start_time": 0, "end_time": 1}],
        "clip_annotations": [{"uuid": f"{ID}3", "clip": f"{ID}2", "tags": [0]}],
    }
    with open("set.json", "w") as file:
        json.dump({"version": "1.1.0", "data": collection}, file)
    (clip,) = io.load("set.json").clip_annotations
    return clip.tags


changed = False
for key, expected in EXPECTED.items():
    made, (found,) = data.Tag(key=key, value="Strix aluco"), loaded(key)
    print(f"{key}: made as {made.key}, loaded as {found.key}")
    changed |= (made.key, found.key) != (expected, expected)
tags = loaded("species")
named = [tag.value for tag in tags if tag.key == "species"]
print(f"with key == 'species': {named}")
found = data.find_tag(tags, key="species")
print(f"find_tag(key='species'): {found}")
changed |= named != [] or found is not None
sys.exit(changed)
PYTHON
