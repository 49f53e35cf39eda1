"""Functions of container images in templates: read, planned, refused."""

import json

import pytest

from router.functions.images import ImageUnusable
from router.model.hosting import BARE, Hosting
from router.template.plan import PlanRefused
from tests.unit.template.appliers import hosted

URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:v7"

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Save:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: save
          PackageType: Image
          ImageUri: URI
          Role: arn:aws:iam::000000000000:role/x
          ImageConfig:
            Command: [app.handler]
    """

PLAIN = """\
    Resources:
      Save:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: save
          PackageType: Image
          Code: {ImageUri: URI}
          Role: arn:aws:iam::000000000000:role/x
          ImageConfig:
            Command: [app.handler]
    """


@pytest.fixture
def image(folder):
    (folder / "image/rootfs").mkdir(parents=True)
    config = {"Entrypoint": ["/entry"], "Cmd": ["app.other"], "Env": ["SECRET=s3cr3t"]}
    (folder / "image/config.json").write_text(json.dumps([{"Config": config}]))
    return folder / "image"


@pytest.fixture
async def applier(tmp_path):
    async with hosted(tmp_path) as (catalog, make):

        def catalogued(hosting):
            made = make(hosting)
            made.catalog = catalog
            return made

        yield catalogued


@pytest.mark.parametrize("template", [SAM, PLAIN])
async def test_an_image_by_its_uri_is_where_settings_say(load, image, applier, template):
    state = load(template.replace("URI", URI))
    with pytest.raises(PlanRefused, match=r"under \[images\] in router\.toml, or ROUTER_IMAGES="):
        await applier(BARE).apply(state)
    mapped = applier(Hosting(images={URI: str(image)}))
    await mapped.apply(state)
    function = mapped.catalog.functions["save"]
    assert function.image.words == ("/entry", "app.handler")
    assert function.code_path == str(image / "rootfs")
    again = await mapped.plan(state)
    assert {change.action for change in again.changes} == {"keep"}


@pytest.mark.parametrize("template", [SAM, PLAIN])
async def test_an_image_may_be_a_folder_beside_the_template(load, image, applier, template):
    written = template.replace("URI", "./image")
    first = applier(BARE)
    await first.apply(load(written))
    before = first.catalog.functions["save"]
    assert before.code_path == str(image / "rootfs")
    (image / "rootfs/new").touch()
    changed = load(written.replace("app.handler", "app.third"))
    (change,) = (await first.plan(changed)).changes
    names = {difference.property for difference in change.differences}
    assert names == {"Code", "ImageConfig"}
    assert "s3cr3t" not in repr(change)
    await first.apply(changed)
    assert first.catalog.functions["save"].code_hash != before.code_hash


async def test_where_no_root_can_be_changed_a_plan_says_so(load, image, applier):
    state = load(PLAIN.replace("URI", "./image"))
    with pytest.raises(PlanRefused, match="no view"):
        await applier(Hosting(image_problem="no view")).apply(state)


async def test_a_folder_that_names_no_program(load, folder, applier):
    (folder / "image").mkdir()
    state = load(PLAIN.replace("URI", "./image").replace("[app.handler]", "[]"))
    with pytest.raises(ImageUnusable, match=r"\./image names no program"):
        await applier(BARE).apply(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Code: {ImageUri: URI}", "Code: {ImageUri: ./nowhere}"), "./nowhere with an unpacked"),
        (("Code: {ImageUri: URI}", "Code: ./code"), "must be a mapping"),
        (("Code: {ImageUri: URI}", "Code: {ZipFile: x}"), "unknown property"),
        (("Command: [app.handler]", "Entry: [a]"), "unknown property of ImageConfig"),
        (("Command: [app.handler]", "WorkingDirectory: work"), "is no absolute path"),
        (("PackageType: Image", "PackageType: Image\n          Handler: a.b"), "is not for"),
        (("PackageType: Image", "PackageType: Image\n          Layers: [a]"), "is not for"),
        (("PackageType: Image", "Runtime: python3.12"), "is for functions of PackageType Image"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(refuse, change, words):
    problems = refuse(PLAIN.replace(*change).replace("URI", URI))
    assert any(words in problem.text for problem in problems), problems
