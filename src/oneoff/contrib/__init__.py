"""Where oneoff is a command of a framework's own command line: surfaces, as thin as :mod:`oneoff.cli`."""
