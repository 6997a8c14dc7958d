"""The leak suite: every known way to let a dry run write or reach out, one table, tried over three observers."""
