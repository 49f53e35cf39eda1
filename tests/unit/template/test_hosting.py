"""What a function asks of its host: read from templates, refused where the host lacks it."""

import pytest

from router.model.hosting import BARE, Hosting
from router.template.plan import PlanRefused
from tests.unit.template.appliers import hosted

ARN = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0"

TEMPLATE = """\
    Resources:
      Save:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          Role: arn:aws:iam::000000000000:role/x
          Code: ./code
          FileSystemConfigs:
            - Arn: ARN
              LocalMountPath: PATH
    """

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Save:
        Type: AWS::Serverless::Function
        Properties:
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          FileSystemConfigs: [{Arn: ARN, LocalMountPath: PATH}]
    """


def text(arn=ARN, path="/mnt/ledger", template=TEMPLATE):
    return template.replace("ARN", arn).replace("PATH", path)


@pytest.mark.parametrize("template", [TEMPLATE, SAM])
def test_file_systems_are_read(load, template):
    (function,) = load(text(template=template)).functions
    assert function.file_systems == ("/mnt/ledger",)
    assert function.extra["FileSystemConfigs"] == [{"Arn": ARN, "LocalMountPath": "/mnt/ledger"}]


@pytest.mark.parametrize("path", ["/mnt/..", "/mnt/.", "/mnt/", "/mnt", "/mnt/a/b", "/srv/a", "a"])
def test_a_path_that_is_none(refuse, path):
    (problem,) = refuse(text(path=path))
    assert problem.property.endswith("LocalMountPath")


def test_an_arn_that_is_none(refuse):
    (problem,) = refuse(text(arn="arn:aws:s3:::bucket"))
    assert problem.property.endswith("Arn")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("LocalMountPath", "MountPath"), "unknown property of FileSystemConfig"),
        (("              LocalMountPath: /mnt/ledger\n", ""), "is required"),
    ],
)
def test_members(refuse, change, words):
    problems = refuse(text().replace(*change))
    assert any(words in problem.text for problem in problems)


def test_more_than_one(refuse):
    one = f"            - Arn: {ARN}\n              LocalMountPath: /mnt/b\n"
    written = text().replace(
        "          FileSystemConfigs:\n", "          FileSystemConfigs:\n" + one
    )
    (problem,) = refuse(written)
    assert problem.text == "more than 1 file system"


@pytest.fixture
async def apply(tmp_path, load):
    async with hosted(tmp_path) as (catalog, applier):

        async def run(hosting):
            await applier(hosting).apply(load(text()))
            return catalog.functions["save"]

        yield run


async def test_a_path_without_a_folder_is_refused_when_applied(apply):
    with pytest.raises(PlanRefused, match=r"\[file_systems\] in router\.toml, or ROUTER_FILE_SYS"):
        await apply(BARE)
    assert (await apply(Hosting(file_systems={"/mnt/ledger": "/srv"}))).file_systems


async def test_a_runtime_without_an_interpreter_is_refused_where_nothing_is_guessed(apply):
    ledger = {"/mnt/ledger": "/srv"}
    with pytest.raises(PlanRefused, match=r"\[runtimes\] in router\.toml, or ROUTER_RUNTIMES="):
        await apply(Hosting(is_strict=True, file_systems=ledger, runtimes={"python3.11": "/p"}))
    mapped = Hosting(is_strict=True, file_systems=ledger, runtimes={"python3.12": "/p"})
    assert (await apply(mapped)).runtime == "python3.12"
