"""Rules for files that go to LFS and files that are ignored: the Hub's default .gitattributes, and .gitignore."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

_ARCHIVES = "7z bz2 gz lz4 rar tar tgz xz zip zst"
_DATA = "arrow avro bin ckpt ftz h5 joblib mds mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt pth"
_MODELS = "safetensors tflite wasm"
_MEDIA = "aac bmp flac gif jpeg jpg mp3 mp4 ogg pcm png raw sam tiff wav webm webp"
LFS_SUFFIXES = frozenset(f".{suffix}" for suffix in f"{_ARCHIVES} {_DATA} {_MODELS} {_MEDIA}".split())


def is_lfs(path: str, size: int, sample: bytes, threshold: int) -> bool:
    """Tell if a file is kept in LFS: by its suffix, its size, or because it is not text; an empty file never is."""
    if size == 0:
        return False
    return PurePosixPath(path).suffix.lower() in LFS_SUFFIXES or size > threshold or b"\0" in sample


def gitattributes() -> bytes:
    """The .gitattributes of a new repository."""
    return "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LFS_SUFFIXES)).encode()


def is_ignored(path: str, gitignore: str) -> bool:
    """Tell if a .gitignore excludes the path; the last matching rule decides (`!` includes again)."""
    ignored = False
    for line in gitignore.splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        if _rule_matches(rule.removeprefix("!"), path):
            ignored = not rule.startswith("!")
    return ignored


def _rule_matches(rule: str, path: str) -> bool:
    parts = path.split("/")
    pattern = rule.rstrip("/")
    folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    candidates = folders if rule.endswith("/") else [*folders, path]
    if "/" in pattern:
        return any(fnmatchcase(candidate, pattern.lstrip("/")) for candidate in candidates)
    return any(fnmatchcase(candidate.rpartition("/")[2], pattern) for candidate in candidates)
