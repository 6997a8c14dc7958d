"""The leak suite: every known way to let a dry run write or reach out, one table, over three observers."""
