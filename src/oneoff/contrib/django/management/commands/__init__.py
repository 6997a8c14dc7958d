"""One command: ``oneoff``."""
