"""What oneoff does in a real cluster: each test runs there, and in the fake one, where its code is tried.

``make test-cluster`` runs them. They need

* ``KUBECONFIG``: its current context is used, as somebody who may create namespaces and Roles;
* ``ONEOFF_TEST_IMAGE``: an image with oneoff and a Python, such as that of ``examples/flights/Dockerfile``;
* ``ONEOFF_TEST_IMAGE_PULL``: the pull policy; ``Never`` for an image that was loaded onto the nodes.

With kind, for one::

    docker build -f examples/flights/Dockerfile -t flights:1 .
    kind create cluster && kind load docker-image flights:1
    KUBECONFIG=~/.kube/config ONEOFF_TEST_IMAGE=flights:1 ONEOFF_TEST_IMAGE_PULL=Never make test-cluster

The image has to be on all nodes, and of this very version of oneoff: a first pod tries that, and says what is
missing. A run takes some ten minutes, as each test starts pods and one waits for the next minute.

Nothing else is assumed: no registry, no ingress, no StorageClass, no kubectl. All is made in a namespace
of its own, ``oneoff-test-…``, which is deleted at the end, also after a failure or Ctrl-C. After a kill,
``kubectl delete namespace -l oneoff.dev/test`` does that.

The records have to outlive the pods. They are a SQLite file in a folder of one node, ``/tmp/oneoff-test-…``,
which is removed at the end, and all pods are put on that node, as root. Where a cluster forbids that,
``ONEOFF_TEST_STORE_URL`` names a PostgreSQL that pods reach, with a store that was made by
``oneoff store init``; then the image needs psycopg.
"""
