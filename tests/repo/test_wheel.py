"""The wheel contains the whole package: modules, data files, the marker of types."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=repo_root, check=True, capture_output=True
    )
    return folder


def _package_files(repo_root: Path) -> set[str]:
    found = (path for path in (repo_root / "hugflow").rglob("*") if path.is_file())
    return {path.relative_to(repo_root).as_posix() for path in found if path.suffix != ".pyc"}


def test_the_wheel_has_every_file_of_the_package_and_no_other(built: Path, repo_root: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == _package_files(repo_root)
    assert "hugflow/py.typed" in names


def test_the_wheel_says_how_to_start_the_program_and_its_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        described = {name.split(".dist-info/")[1]: name for name in archive.namelist() if ".dist-info/" in name}
        assert "hugflow = hugflow.__main__:main" in archive.read(described["entry_points.txt"]).decode()
    assert "licenses/LICENSE" in described


def test_the_source_archive_builds_the_same_package(built: Path, repo_root: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert _package_files(repo_root) | {"pyproject.toml", "README.md", "LICENSE", ".env.example"} <= names
