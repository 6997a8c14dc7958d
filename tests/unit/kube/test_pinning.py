"""What an image is pinned to, from what the nodes report: one row for each form that is known."""

from __future__ import annotations

from typing import Any

import pytest

from oneoff.errors import NotDerivable
from oneoff.kube.release.pinning import pin

ONE = f"sha256:{'1' * 64}"
TWO = f"sha256:{'2' * 64}"
TAG = "registry.example:5000/team/shop:1.4"
OWN = f"registry.example:5000/team/shop@{ONE}"


def pods(*reported: str) -> list[dict[str, Any]]:
    """One pod for each, which has a sidecar as well."""
    return [
        {
            "status": {
                "containerStatuses": [
                    {"name": "proxy", "imageID": f"other/proxy@{TWO}"},
                    {"name": "app", "imageID": one},
                ]
            }
        }
        for one in reported
    ]


@pytest.mark.parametrize(
    ("image", "reported", "expected"),
    [
        pytest.param(TAG, [f"docker-pullable://{OWN}"], OWN, id="docker"),
        pytest.param(TAG, [OWN, OWN], OWN, id="containerd, or an index on nodes of two architectures"),
        pytest.param(
            "nginx", [f"docker.io/library/nginx@{ONE}"], f"docker.io/library/nginx@{ONE}", id="short name"
        ),
        pytest.param(
            "team/shop", [f"docker.io/team/shop@{ONE}"], f"docker.io/team/shop@{ONE}", id="of a user"
        ),
        pytest.param(f"{TAG}@{ONE}", [], f"{TAG}@{ONE}", id="a digest already, and no pod"),
        pytest.param(f"{TAG}@{ONE}", [f"x@{TWO}"], f"{TAG}@{ONE}", id="a digest already"),
        pytest.param(TAG, [f"mirror.example/shop@{ONE}", OWN], OWN, id="one digest in two repositories"),
        pytest.param(TAG, [OWN, ONE], OWN, id="one node has it side-loaded"),
        pytest.param(TAG, [OWN, ""], OWN, id="one pod does not tell"),
        pytest.param(TAG, [ONE], None, id="side-loaded, containerd"),
        pytest.param(TAG, [f"docker.io/library/import-2026-12-01@{ONE}"], None, id="side-loaded, kind"),
        pytest.param(
            TAG,
            [f"docker.io/library/import-2026-12-01@{ONE}", f"docker.io/library/import-2026-12-02@{TWO}"],
            None,
            id="side-loaded, kind, on two days",
        ),
        pytest.param(TAG, [OWN, f"docker.io/library/import-2026-12-01@{ONE}"], OWN, id="kind, one pulled it"),
        pytest.param(TAG, [f"docker://{ONE}"], None, id="built on the node, docker"),
        pytest.param(TAG, ["1" * 64], None, id="an id alone, CRI-O"),
        pytest.param(TAG, [ONE, TWO], None, id="side-loaded, an id for each architecture"),
        pytest.param(TAG, [], None, id="no pod"),
        pytest.param(TAG, [""], None, id="not started"),
    ],
)
def test_what_the_nodes_report(image: str, reported: list[str], expected: str | None) -> None:
    """A note says why where there is none to pin."""
    found = pin("deployment/web", image, "app", pods(*reported))
    assert found.image == expected
    assert bool(found.note) == (expected is None)


def test_another_repository_is_named() -> None:
    """A node that has the same image of two repositories may report either one."""
    found = pin("deployment/web", TAG, "app", pods(f"mirror.example/shop@{ONE}"))
    assert found.image == f"mirror.example/shop@{ONE}"
    assert found.note == f"the nodes have {TAG} as mirror.example/shop@{ONE}"


def test_two_digests_are_refused() -> None:
    """With both of them, and what to do: nodes that report the manifest of their architecture do so, too."""
    with pytest.raises(NotDerivable) as raised:
        pin(
            "deployment/web",
            TAG,
            "app",
            pods(OWN, f"docker-pullable://registry.example:5000/team/shop@{TWO}"),
        )
    assert raised.value.message == (
        f"the tag of {TAG} has moved: the pods of deployment/web run {OWN} and "
        f"registry.example:5000/team/shop@{TWO}"
    )
    assert "restart the workload" in raised.value.next_step
    assert "of the index, where its nodes are of several architectures" in raised.value.next_step
