"""The notebooks of docs/ run, and show what they computed."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parents[2] / "docs"


def texts(notebook):
    """What each cell printed or showed, as text."""
    return [
        [output.get("text") or output.get("data", {}).get("text/plain") for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_computes_what_it_shows(path):
    """With `jupyter execute --inplace docs/<name>.ipynb`, it shows what it computes."""
    shown = nbformat.read(path, as_version=4)
    computed = nbformat.read(path, as_version=4)
    NotebookClient(computed, resources={"metadata": {"path": DOCS}}, timeout=300).execute()
    assert any(texts(shown))
    assert texts(computed) == texts(shown)
