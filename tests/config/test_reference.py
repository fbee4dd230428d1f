"""docs/configuration.md names every key of the configuration."""

import json
import re

import pytest

from weakneg import losses, strategies
from weakneg.config import load as config
from weakneg.config.reference import PAGE, reference


@pytest.fixture(scope="module")
def schemas():
    return [json.loads(text) for text in config.schemas().values()]


def test_the_page_is_in_step_with_the_models(schemas):
    assert PAGE.read_text(encoding="utf-8") == reference(*schemas), "run `python -m weakneg schema`"


def test_every_key_has_its_type_and_default_on_the_page(schemas):
    page = PAGE.read_text(encoding="utf-8")
    sections = [each for schema in schemas for each in (schema, *schema["$defs"].values())]
    keys = {key for section in sections for key in section.get("properties", {})}
    shown = set(re.findall(r"^- \*\*`(\w+)`\*\*: \S", page, re.MULTILINE))
    assert shown == keys - {"top"}  # {top: n} is said where it may stand
    assert "- **`patience`**: whole number at least 1 or `null`; default `null`." in page


@pytest.mark.parametrize("plugins", [strategies, losses])
def test_every_option_of_a_strategy_or_loss_is_on_the_page(plugins):
    page = PAGE.read_text(encoding="utf-8")
    for name in plugins.names():
        for option in plugins.options(name):
            assert f"- **`{name}`, `{option}`**: " in page


def test_links_lead_to_headings_of_the_page():
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= anchors
