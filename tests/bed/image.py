"""A container image from one static program, in the form that ``docker save`` writes and every runtime imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

NAME = "pointsman.test/busybox:1"


def busybox(program: Path, file: Path) -> None:
    """Writes the image to ``file``: busybox, its commands as links, and as its process one that waits."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for directory in ("bin", "etc", "proc", "sys", "dev", "tmp", "run"):
            _add(tar, directory, type=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", program.read_bytes())
        for command in ("sh", "sleep", "httpd", "mkdir", "echo", "cat", "ls", "ps", "wget"):
            _add(tar, f"bin/{command}", type=tarfile.SYMTYPE, linkname="busybox")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    # Also the sandbox of every pod: it holds the pod's namespaces and ends when it is told.
    wait = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/sh", "-c", wait], "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(file, "w") as tar:
        _add(tar, "config.json", json.dumps(config).encode())
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, path: str, data: bytes = b"", **attributes: object) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.size = 0o755, len(data)
    for name, value in attributes.items():
        setattr(info, name, value)
    tar.addfile(info, io.BytesIO(data))
