"""A Kubernetes API server and Job controller for tests, over real HTTP, that runs pods as local processes.

``with FakeKubernetes(scratch) as cluster`` gives an address, a kubeconfig and the faults to inject. What
it stores, answers and goes through is held against recordings of a real cluster in ``tests/recordings``:
see `test_stored`, `test_answers` and `test_replay`. The modules, from the bottom:

* `kinds`, `answers`, `clock`, `certificates`: words and errors, time, TLS;
* `storage`, `selectors`, `fields`, `apply`: objects and revisions, who owns which field;
* `defaults`, `validation`, `admission`, `access`, `roles`: what the server fills in and refuses, who may;
* `resources`, `removal`, `eviction`, `watch`, `logs`, `reviews`: the verbs;
* `routes`, `http`: the wire;
* `processes`, `status`, `pods`: the scheduler and the kubelet;
* `counting`, `controller`, `cronjobs`, `events`: Jobs and CronJobs;
* `standings`: workloads as their controllers leave them, for `shop`, an app that is live;
* `deployments`: Deployments whose pods run, and endpoints, where a test starts it;
* `faults`: what goes wrong; `cluster` puts all together.

`wire`, `objects` and `states` are for the fake's own tests.
"""

from __future__ import annotations

from tests.kubernetes.cluster import FakeKubernetes

__all__ = ["FakeKubernetes"]
