"""Shell and systemd files. They run as root, so what stands in them is only what `recipe` lets a name and a version be."""

from __future__ import annotations

from collections.abc import Mapping

SWITCH = """\
#!/bin/sh
# edgepack-switch NAME VERSION [ROOT]: makes VERSION the current one, in one rename.
set -eu
folder="${3:-}/usr/share/edgepack/$1"
test -f "$folder/$2/model.tflite" || { echo "edgepack-switch: $folder/$2 has no model" >&2; exit 65; }
(cd "$folder/$2" && sha256sum --check --status SHA256SUMS) || { echo "edgepack-switch: $folder/$2 is damaged" >&2; exit 65; }
ln -sfn "$2" "$folder/.current-$$"
mv -T "$folder/.current-$$" "$folder/current"
"""

_INSTALL = """\
#!/bin/sh
# Unpacks {name} {version} below ROOT (the system where none is given) and makes it the current version.
set -eu
root="${{1:-}}"
here="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$root/"
tar -xzf "$here/{archive}" -C "$root/" --no-same-owner
"$here/edgepack-switch" {name} {version} "$root"
"""

RELOAD_PATH = """\
# Watches the current version of {name}.
[Unit]
Description=New version of the model {name}

[Path]
PathChanged=/usr/share/edgepack/{name}

[Install]
WantedBy=multi-user.target
"""

RELOAD_SERVICE = """\
# Say in a drop-in which service reads the model: ExecStart=systemctl try-reload-or-restart your.service
[Unit]
Description=Reload what uses the model {name}

[Service]
Type=oneshot
ExecStart=/bin/true
"""

POST_INSTALL = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  folder="${{DPKG_ROOT:-}}/usr/share/edgepack/{name}"
  ln -sfn {version} "$folder/.current-$$"
  mv -T "$folder/.current-$$" "$folder/current"
fi
"""

PRE_REMOVE = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
  folder="${{DPKG_ROOT:-}}/usr/share/edgepack/{name}"
  if [ "$(readlink "$folder/current" 2>/dev/null)" = {version} ]; then rm -f "$folder/current"; fi
fi
"""

# On an upgrade the old package's postrm runs when the new files are there and before the old ones go: the one moment at
# which `current` can change without ever pointing at nothing.
POST_REMOVE = """\
#!/bin/sh
set -e
if [ "$1" = upgrade ]; then
  folder="${{DPKG_ROOT:-}}/usr/share/edgepack/{name}"
  new="$(printf %s "$2" | tr '~' '-')"
  if [ -f "$folder/$new/model.tflite" ]; then
    ln -sfn "$new" "$folder/.current-$$"
    mv -T "$folder/.current-$$" "$folder/current"
  fi
fi
"""


def install_script(values: Mapping[str, str], *, archive: str) -> bytes:
    """For systems without dpkg."""
    return _INSTALL.format(**values, archive=archive).encode()
