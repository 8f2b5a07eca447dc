"""`--to linux`: a Debian package, a tar archive, an OCI image layout, and the unit that reloads a service.

All lay the model at /usr/share/edgepack/NAME/VERSION/ and point NAME/current at it by one rename, so that a reader sees
the old version or the new one.
"""

from __future__ import annotations

from edgepack.deliver.linux import archives, oci
from edgepack.deliver.linux.layout import installed_files
from edgepack.deliver.linux.scripts import RELOAD_PATH, RELOAD_SERVICE, SWITCH, install_script
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.deliver.tree import File, Tree


def tree(subject: Subject, options: Options) -> Tree:
    """The archives, and beside them what a system without dpkg needs."""
    files = installed_files(subject)
    stem = f"{subject.name}-{subject.version}"
    values = {"name": subject.name, "version": subject.version}
    layout = {f"oci/{path}": content for path, content in oci.layout(subject).items()}
    return {
        f"{archives.debian_name(subject)}_{archives.debian_version(subject)}_all.deb": archives.deb(
            subject, files
        ),
        f"{stem}.tar.gz": archives.tar(files, prefix="usr/share/edgepack/"),
        "install.sh": File(content=install_script(values, archive=f"{stem}.tar.gz"), executable=True),
        "edgepack-switch": File(content=SWITCH.encode(), executable=True),
        f"systemd/edgepack-{subject.name}.path": RELOAD_PATH.format(**values).encode(),
        f"systemd/edgepack-{subject.name}.service": RELOAD_SERVICE.format(**values).encode(),
        **layout,
    }
