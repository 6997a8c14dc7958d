"""The commands that a project has already, as tasks: of Django, of Flask, of any Click group.

A framework is imported where the project is one of its own, and its commands are called in its own way.
"""
