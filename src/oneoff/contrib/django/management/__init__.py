"""The folder where Django looks for commands."""
