"""Child side: ``python -m edgepack.embedded.vela_here MEMORY_BYTES SECONDS WORDS…`` is Vela within limits.

Vela reads a stranger's file with compiled code; it gets neither network nor more memory or time than it is given.
"""

from __future__ import annotations

import resource
import sys

from edgepack import child

NOT_INSTALLED = 69


def main() -> int:
    memory_bytes, seconds, *words = sys.argv[1:]
    child.settle(int(memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    child.leave_network()
    try:
        from ethosu.vela.vela import main as vela
    except ImportError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    return int(vela(words) or 0)


if __name__ == "__main__":
    sys.exit(main())
