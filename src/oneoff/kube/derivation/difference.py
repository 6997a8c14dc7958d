"""A pod template beside its source, for people."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff

from oneoff.kube.objects import Change, Object
from oneoff.kube.yamltext import dump


def difference(
    source: Object, result: Object, *, source_name: str, result_name: str, changes: Sequence[Change] = ()
) -> str:
    """A unified difference of two pod templates, below the reason of each change; keys are sorted."""
    before, after = (
        dump([{key: template.get(key) or {} for key in ("metadata", "spec")}], ordered=True).splitlines(True)
        for template in (source, result)
    )
    reasons = [f"# {change.path} {change.action}: {change.reason}\n" for change in changes]
    return "".join([*reasons, *unified_diff(before, after, source_name, result_name)])
