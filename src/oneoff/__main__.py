"""``python -m oneoff``."""

from __future__ import annotations

from oneoff.cli.main import main

if __name__ == "__main__":
    main()
