"""`make bench`.

python -m tests.benchmarks scoreboard …     every method and every peer on real models: bytes against the metric
python -m tests.benchmarks costs …          what the command itself costs in seconds
"""

from __future__ import annotations

import sys


def main() -> int:
    name, words = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name == "scoreboard":
        from tests.benchmarks.scoreboard import command

        return command.main(words)
    if name == "costs":
        from tests.benchmarks import costs

        costs.main(words)
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
