"""tar and deb, written so that the same contents give the same bytes: sorted names, no times, root as owner.

A .deb is an `ar` archive of three members (deb(5)): the format's version, control.tar.gz and data.tar.gz.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from edgepack import __version__
from edgepack.deliver.linux.scripts import POST_INSTALL, POST_REMOVE, PRE_REMOVE
from edgepack.deliver.subject import Subject

Files = Mapping[str, bytes]
SCRIPTS = frozenset({"./postinst", "./prerm", "./postrm"})


def tar(files: Files, *, prefix: str, executable: frozenset[str] = frozenset()) -> bytes:
    """A .tar.gz of regular files below `prefix`, folders included."""
    whole = {f"{prefix}{name}": content for name, content in files.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in _folders(whole):
            entry = tarfile.TarInfo(f"{'./' if prefix.startswith('./') else ''}{folder}/")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(_owned(entry))
        for name in sorted(whole):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(whole[name]), 0o755 if name in executable else 0o644
            archive.addfile(_owned(entry), io.BytesIO(whole[name]))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def _folders(files: Files) -> list[str]:
    """Every folder on the way, outer ones first."""
    found = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    return sorted(found - {"."})


def deb(subject: Subject, files: Files) -> bytes:
    """A Debian package for every architecture."""
    data = {f"usr/share/edgepack/{name}": content for name, content in files.items()}
    values = {"name": subject.name, "version": subject.version}
    control = {
        "control": _control(subject, data),
        "md5sums": _md5sums(data),
        "postinst": POST_INSTALL.format(**values).encode(),
        "prerm": PRE_REMOVE.format(**values).encode(),
        "postrm": POST_REMOVE.format(**values).encode(),
    }
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar(control, prefix="./", executable=SCRIPTS),
        "data.tar.gz": tar(data, prefix="./"),
    }
    return b"!<arch>\n" + b"".join(_ar_member(name, content) for name, content in members.items())


def _ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def _control(subject: Subject, data: Files) -> bytes:
    kibibytes = -(-sum(map(len, data.values())) // 1024)
    fields = {
        "Package": debian_name(subject),
        "Version": debian_version(subject),
        "Architecture": "all",
        "Maintainer": "edgepack <edgepack@localhost>",
        "Installed-Size": str(kibibytes),
        "Section": "misc",
        "Priority": "optional",
        "Description": f"model {subject.name} {subject.version}, packed by edgepack {__version__}\n"
        f" TensorFlow Lite model of {len(subject.model)} bytes, SHA-256 {subject.sha256}.",
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items()).encode()


def _md5sums(data: Files) -> bytes:
    """What `dpkg --verify` compares with; against damage, not against attackers."""
    rows = [
        f"{hashlib.md5(data[name], usedforsecurity=False).hexdigest()}  {name}\n" for name in sorted(data)
    ]
    return "".join(rows).encode()


def debian_name(subject: Subject) -> str:
    """A package name as Debian policy 5.6.1 has it: lower case letters, digits, plus, minus and periods."""
    return "edgepack-model-" + re.sub(r"[^a-z0-9.+-]+", "-", subject.name.lower())


def debian_version(subject: Subject) -> str:
    """Debian policy 5.6.12: a pre-release sorts before its release by a tilde, and no hyphen stands in it."""
    return subject.version.replace("-", "~")
