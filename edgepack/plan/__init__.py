"""Who does what to which layer, decided before anything runs, so that no stage undoes another's work.

A truncated SVD of a pruned and clustered kernel has no zeros and no repeated values left, and plain
clustering fills zeros in again. `resolve` therefore sorts the work: a layer that a factorization will replace
gets its pruning and clustering on the factors, right after the replacement, and clustering comes after
pruning on every layer.
"""

from edgepack.plan.resolve import resolve, resume
from edgepack.plan.steps import Cell, Plan, Row, Step, settle
from edgepack.plan.table import as_json, cells, columns, ledger

__all__ = [
    "Cell",
    "Plan",
    "Row",
    "Step",
    "as_json",
    "cells",
    "columns",
    "ledger",
    "resolve",
    "resume",
    "settle",
]
