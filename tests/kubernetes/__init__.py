"""A Kubernetes API server and Job controller for tests, over real HTTP, that runs pods as local processes.

``with FakeKubernetes(scratch) as cluster`` gives an address, a kubeconfig and the faults to inject. What
it answers is held against recordings of a real cluster in ``tests/recordings``: see `test_answers` and
`test_replay`. The modules, from the bottom: `kinds` and `answers` (words), `storage` (objects and
revisions), `selectors`, `fields` and `apply` (who owns which field), `defaults` (what the server fills in
and refuses), `access` (who may), `watch`, `resources` (the verbs), `http` (the wire); `pods` and
`processes` (the kubelet), `controller` and `counting` (Jobs), `cronjobs`, `garbage` (owners); `faults`;
`cluster` puts them together.
"""

from __future__ import annotations

from tests.kubernetes.cluster import FakeKubernetes

__all__ = ["FakeKubernetes"]
