"""``python -m edgepack`` is the installed command."""

from edgepack.cli import main

if __name__ == "__main__":
    main()
