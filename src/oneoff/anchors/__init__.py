"""Places outside the store that keep checkpoints: standard output, a file, whatever a command reaches."""

from __future__ import annotations

from oneoff.anchors.command import CommandAnchor as CommandAnchor
from oneoff.anchors.places import FileAnchor as FileAnchor
from oneoff.anchors.places import StdoutAnchor as StdoutAnchor
