"""One app in one namespace for all tests of a kind of cluster; what happened there, where a test fails."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.cluster.world import World, inhabited
from tests.kubernetes import FakeKubernetes

_WORLDS = pytest.StashKey[World]()
_FAKE = pytest.param("fake", marks=pytest.mark.slow)
_REAL = pytest.param("cluster", marks=pytest.mark.cluster)


@pytest.fixture(scope="session", params=[_FAKE, _REAL])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The app in its namespace, and a laptop without it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "cluster":
        yield from _real(request, folder)
        return
    with FakeKubernetes(folder / "cluster", speed=5) as fake:
        fake.deployments.start()
        fake.node.image_env["PORT"] = "8000"  # as the image of the example has it
        fake.faults.image_missing("registry.invalid/*")
        kubeconfig = str(fake.kubeconfig(folder / "kubeconfig"))
        with inhabited(folder, kubeconfig=kubeconfig, image="app:1", fake=fake) as found:
            request.config.stash[_WORLDS] = found
            yield found


def _real(request: pytest.FixtureRequest, folder: Path) -> Iterator[World]:
    if "cluster" not in request.config.option.markexpr:
        pytest.skip("for a real cluster: make test-cluster")
    for name in ("KUBECONFIG", "ONEOFF_TEST_IMAGE"):
        if not os.environ.get(name):
            pytest.skip(f"no cluster: {name} is not set (see tests/cluster/__init__.py)")
    image, named = os.environ["ONEOFF_TEST_IMAGE"], os.environ["KUBECONFIG"].split(os.pathsep)
    # The laptop's folder is another one than ours.
    kubeconfig = os.pathsep.join(str(Path(one).expanduser().absolute()) for one in named if one)
    with inhabited(folder, kubeconfig=kubeconfig, image=image) as found:
        request.config.stash[_WORLDS] = found
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the cluster tells beside a test that failed."""
    report = yield
    if call.when == "call" and call.excinfo is not None and _WORLDS in item.config.stash:
        report.sections.append(("the cluster", item.config.stash[_WORLDS].described()))
    if report.skipped and isinstance(report.longrepr, tuple):  # one line for all of them
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report
