"""The environments: the lock of the pip route and the conda files say the same."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "envs").glob("requirements*.txt"))
CONDA_NAMES = {
    **{"pytorch": "torch", "matplotlib-base": "matplotlib", "pysoundfile": "soundfile"},
    "huggingface_hub": "huggingface-hub",
}


def pins(lock: Path) -> dict[str, set[str]]:
    """Package -> pinned versions (several where they depend on the Python version)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environment_has_the_versions_of_the_lock(file):
    locked = pins(ROOT / "envs" / "requirements.txt")
    for dependency in yaml.safe_load(file.read_text())["dependencies"]:
        name, _, version = dependency.replace(" ", "").partition("=")
        if name == "protobuf":
            assert name in locked
            assert not version
        elif name != "python":
            assert version in locked[CONDA_NAMES.get(name, name)], name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash_and_no_address(lock):
    text = lock.read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_test_lock_extends_the_run_lock():
    run, test = (pins(ROOT / "envs" / f"requirements{part}.txt") for part in ("", "-dev"))
    assert {name: test.get(name) for name in run} == run


def test_an_editable_install_is_a_plain_path_so_that_PYTHONPATH_takes_precedence(tmp_path):
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True)
    [wheel] = map(ZipFile, tmp_path.glob("*.whl"))
    [code] = [name for name in wheel.namelist() if name.endswith((".pth", ".py"))]
    assert wheel.read(code).decode().strip() == str(ROOT / "workflow")


def test_the_citation_and_the_changelog_have_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## {version} - " in (ROOT / "CHANGELOG.md").read_text()
