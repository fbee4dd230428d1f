"""Settings of the sources of sound: checked, and each with a description and a default."""

import pytest

from weakneg.config.source import parse
from weakneg.errors import UserError


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"type": "ftp"}, "source"),
        ({"type": "youtube", "retrys": 1}, r"source\.retrys"),
        ({"type": "youtube", "retries": -1}, r"source\.retries"),
        ({"type": "youtube", "url": "https://example.org/watch"}, r"source\.url"),
        ({"type": "youtube", "url": "file:///etc/{id}"}, r"source\.url"),
        ({"type": "youtube", "url": "https://{id}/"}, r"source\.url"),
        ({"type": "huggingface", "repository": "../x/y"}, r"source\.repository"),
        ({"type": "huggingface", "pattern": []}, r"source\.pattern"),
        ({"type": "folder", "name": "x"}, r"source\.name"),
    ],
)
def test_wrong_settings_are_one_sentence_with_the_key(source, message):
    with pytest.raises(UserError, match=message) as error:
        parse(source)
    assert "\n" not in str(error.value)


def test_every_setting_says_what_it_is_and_has_a_default():
    for name in ("folder", "youtube", "huggingface"):
        for key, setting in type(parse({"type": name})).model_fields.items():
            assert setting.description, (name, key)
            assert not setting.is_required(), (name, key)
