"""`edgepack tune`: searches what a recipe leaves open, on one machine or many, and freezes what it chose.

    opened recipe ─ space ─┐
    closed-form proxy ─────┼─ proposing ─ study (Optuna) ─ executors ─ trial (a build without package)
    what was measured ─────┘                                   │
                     front, chosen point, frozen recipe ◄──────┘

Generations are synchronous: what is tried next depends on finished generations only, never on who was faster.
"""
