"""The parts of a page below its top, one a file: facts of a subject become a section of blocks."""
