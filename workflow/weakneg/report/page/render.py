"""Files of HTML that need nothing else: style, scripts, data and pictures are in them."""

import base64
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import vl_convert
from markupsafe import Markup

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole

_FOLDER = Path(__file__).parent
_VEGA_LITE = "6.4"  # that of the locked altair
_SHARED = ("base.html", "macros.html")  # which other templates extend and import
_PLAIN = ' "!$()*+,-./:;=?@[]^_`{|}~'  # signs that stand for themselves in the address of a figure


def render(
    template: str,
    *,
    summary: Mapping[str, Any],
    specifications: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    sounds: Mapping[str, Any] | None = None,
    **values: Any,
) -> str:
    """Fill a template of this folder.

    Parameters
    ----------
    template : str
        Name of its file.
    summary : mapping
        What other pages read of this one; the key `name` is that of the study, or "".
    specifications, data : mapping
        Charts and their data by name.
    sounds : mapping
        Clips that can be played, by id.
    **values
        What else it shows; all text is escaped.

    Returns
    -------
    str
        HTML, with the style sheet, the script of the page and, where there are charts, its library
        (Vega, Vega-Lite and vega-embed), and a policy by which a browser runs no other script and
        loads nothing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "separators": (",", ":"),
        "allow_nan": False,
    }
    for name in _SHARED:  # named, so that an edit of them changes the fingerprint of a page
        environment.get_template(name)
    script = _text("page.js")
    library = _library()
    policy = [
        "default-src 'none'",
        f"script-src {_hash(library)} {_hash(script)}",
        "style-src 'unsafe-inline'",  # that of the tooltips
        "img-src data:",
        "media-src data: blob:",
    ]
    return environment.get_template(template).render(
        style=Markup(_text("page.css")),
        script=Markup(script),
        library=Markup(library),
        policy="; ".join(policy),
        summary=summary,
        specifications=specifications or {},
        data=data or {},
        sounds=sounds or {},
        **values,
    )


@cache
def _library() -> str:
    """The library of the charts. To make it takes a second, so a workflow keeps it."""
    made_by = version("vl-convert-python")
    kept = Path(f".snakemake/vega_lite_{_VEGA_LITE}_by_{made_by}.js")
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    text = vl_convert.javascript_bundle(vl_version=_VEGA_LITE).strip()  # type: ignore[call-arg]
    if kept.parent.is_dir():
        with suppress(OSError), replace_when_whole(kept) as path:
            path.write_text(text, encoding="utf-8", newline="\n")
    return text


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """The hash by which a policy allows a script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def figure(path: Path, caption: str) -> dict[str, str]:
    """A figure as a part of the file, with its size, so that nothing moves when it appears."""
    content = path.read_bytes()
    size = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', content)
    if size is None:
        raise UserError(f"{path} is not a figure: delete it and run again.")
    width, height = (f"{float(each):.0f}" for each in size.groups())
    # A quarter shorter than base64. Nothing in it ends an attribute in single quotes.
    text = quote(" ".join(content.decode().split()), safe=_PLAIN)
    url = Markup(f"data:image/svg+xml,{text}")
    return {"name": path.stem, "caption": caption, "url": url, "width": width, "height": height}
