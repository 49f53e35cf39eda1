"""The Dockerfile as `deploy/rootfs` reads it: what it does not know it refuses."""

from pathlib import Path

import pytest

from deploy.rootfs.dockerfile import Copy, Ignored, Run, Unknown, WorkingFolder, parse

TEXT = """
# A comment
ARG BASE=some/where:1
FROM ${BASE} AS build
WORKDIR /build
COPY a b c/
RUN one \\
 # within a command
 && two
FROM scratch
COPY --from=build /build/root/ /
ENV A=1 B="two words"
USER 10001:10001
EXPOSE 80 81
HEALTHCHECK --interval=10s --retries=3 CMD ["router", "health"]
ENTRYPOINT ["router"]
CMD ["serve", "x"]
"""


def test_stages_steps_and_configuration():
    build, last = parse(TEXT)
    assert (build.name, build.base) == ("build", "some/where:1")
    assert build.steps == [
        WorkingFolder("/build"),
        Copy(("a", "b"), "c/"),
        Run("one  && two"),
    ]
    assert last.steps == [Copy(("/build/root/",), "/", "build")]
    assert last.config == {
        "Env": ["A=1", "B=two words"],
        "User": "10001:10001",
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}},
        "Healthcheck": {
            "Interval": 10_000_000_000,
            "Retries": 3,
            "Test": ["CMD", "router", "health"],
        },
        "Entrypoint": ["router"],
        "Cmd": ["serve", "x"],
    }


def test_build_arguments_come_from_outside():
    assert parse(TEXT, {"BASE": "other"})[0].base == "other"


@pytest.mark.parametrize(
    "line",
    [
        "ADD https://x /",
        "SHELL ['sh']",
        "COPY --chown=1 a b",
        "ENTRYPOINT router serve",
        "HEALTHCHECK --start-interval=1s CMD []",
        "HEALTHCHECK NONE",
        "FROM ${NOWHERE}",
    ],
)
def test_what_is_not_known_is_refused_with_its_line(line):
    with pytest.raises(Unknown, match="line 2: "):
        parse(f"FROM scratch\n{line}\n")


def test_dockerignore_is_decided_by_the_last_line_that_fits():
    ignored = Ignored("# all\n*\n!router\n!deploy\ndeploy/*\n!deploy/image\n**/__pycache__\n")
    out = {"README.md", "deploy/grafana", "deploy/grafana/x", "router/__pycache__/a.pyc"}
    kept = {"router", "router/cli/run.py", "deploy", "deploy/image", "deploy/image/collect.py"}
    assert {path for path in out | kept if ignored(Path(path))} == out
