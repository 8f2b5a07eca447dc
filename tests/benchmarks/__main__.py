"""`make bench`.

python -m tests.benchmarks scoreboard …     every method and every peer on real models: bytes against the metric
python -m tests.benchmarks costs …          what the command itself costs in seconds
python -m tests.benchmarks tune …           evaluations of a search against random and TPE search
python -m tests.benchmarks workers …        two workers of a search against one
python -m tests.benchmarks latency …        times told from the table of ops against whole models
python -m tests.benchmarks calibration …    `edgepack bench` against LiteRT's own benchmark tool, and against itself
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
    if name == "tune":
        from tests.benchmarks import tune

        return tune.main(words)
    if name == "workers":
        from tests.benchmarks import workers

        return workers.main(words)
    if name == "latency":
        from tests.benchmarks import latency_error

        return latency_error.main(words)
    if name == "calibration":
        from tests.benchmarks import calibration

        return calibration.main(words)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
