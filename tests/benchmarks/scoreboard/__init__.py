"""The scoreboard: every method of edgepack and every peer on the same models, data, machine and hour.

A *case* is a recipe without stages (`cases`), laid out once for everybody (`material`). A *row* is one way of making
a .tflite of it (`row`): `peers` by other tools' own calls, `own` by ``edgepack build``. Every file is then scored by
the same code (`scoring`): the metric with a paired interval, three sizes, multiply-adds, latency in turns with plain
int8. Nothing is read from an earlier run.
"""
