"""Layers of templates: published when a folder has changed, given to who names them."""

from pathlib import Path

import pytest

from router.functions.packages import CodeStore, overlay_hash
from router.model.layer import Layer, LayerVersion
from router.store.catalog import put
from router.template.load import files_of
from tests.unit.template.test_versions import actions, applier, catalog, make_applier
from tests.unit.template.texts import SAVE

__all__ = ["applier", "catalog", "make_applier"]

START = "arn:aws:lambda:us-east-1:000000000000:layer:"

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Tools:
        Type: AWS::Serverless::LayerVersion
        Properties:
          LayerName: tools
          Description: {description}
          ContentUri: ./tools
          CompatibleRuntimes: [python3.12]
      Save:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          Layers: [!Ref Tools]
    Outputs:
      Layer: {{Value: !Ref Tools}}
    """

PLAIN = (
    SAVE
    + """\
          Layers: [%s]
    """
)


@pytest.fixture(autouse=True)
def tools(folder):
    module = folder / "tools" / "python" / "tool.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1")
    return module


def stored(name, number, code_hash="0" * 64, size=1):
    return put("layer_version", f"{name}:{number}", LayerVersion(
        name=name, number=number, code_hash=code_hash, code_size=size, unzipped_bytes=size,
        sha256="", created_ms=1,
    ))  # fmt: skip


async def test_a_layer_is_published_when_its_folder_has_changed(applier, load, catalog, tools):
    plan = await applier.apply(load(SAM.format(description="one")))
    assert plan.outputs == {"Layer": f"{START}tools:1"}
    version = catalog.layer_versions["tools:1"]
    assert (version.runtimes, version.description) == (("python3.12",), "one")
    assert len(version.sha256) == 44
    function = catalog.functions["save"]
    assert [use.arn for use in function.layers] == [f"{START}tools:1"]
    assert Path(function.layers_path, "python", "tool.py").read_text() == "x = 1"
    plan = await applier.apply(load(SAM.format(description="one")))
    assert set(actions(plan).values()) == {"keep"}
    tools.write_text("x = 22")
    plan = await applier.apply(load(SAM.format(description="one")))
    assert actions(plan) == {"tools:2": "create", "tools:1": "delete", "save": "update"}
    function = catalog.functions["save"]
    assert Path(function.layers_path, "python", "tool.py").read_text() == "x = 22"
    assert catalog.layers["tools"] == Layer(name="tools", last_number=2)
    await applier.apply(load(SAM.format(description="two")))
    assert list(catalog.layer_versions) == ["tools:3"]


async def test_layers_made_through_the_api_are_named_by_their_arns(
    applier, load, catalog, tmp_path, tools
):
    codes = CodeStore(tmp_path / "copies")
    first = await codes.snapshot(tools.parents[1])
    tools.write_text("x = 333")
    second = await codes.snapshot(tools.parents[1])
    await catalog.commit([stored("a", 1, first.hash), stored("b", 7, second.hash)])
    await applier.apply(load(PLAIN % f"'{START}a:1', '{START}b:7'"))
    function = catalog.functions["save"]
    assert [use.code_hash for use in function.layers] == [first.hash, second.hash]
    assert Path(function.layers_path).name == overlay_hash([first.hash, second.hash])
    assert Path(function.layers_path, "python", "tool.py").read_text() == "x = 333"


async def test_numbers_go_on_where_the_api_stopped(applier, load, catalog):
    await catalog.commit(
        [stored("tools", 4), put("layer", "tools", Layer(name="tools", last_number=6))]
    )
    plan = await applier.apply(load(SAM.format(description="one")))
    assert plan.outputs == {"Layer": f"{START}tools:7"}
    assert set(catalog.layer_versions) == {"tools:4", "tools:7"}


async def test_a_layer_that_is_not_there(applier, load):
    plan = await applier.plan(load(PLAIN % f"'{START}none:1'"))
    assert [change.refusal for change in plan.refused] == [
        f"layer version {START}none:1 does not exist"
    ]


async def test_a_function_keeps_a_layer_that_was_deleted(applier, load, catalog):
    await applier.apply(load(SAM.format(description="one")))
    function = catalog.functions["save"]
    text = PLAIN % f"'{START}tools:1'"
    plan = await applier.apply(load(text))
    assert actions(plan)["tools:1"] == "delete"
    assert catalog.layer_versions == {}
    plan = await applier.apply(load(text))
    assert not plan.refused
    assert catalog.functions["save"].layers == function.layers


async def test_too_much_together(applier, load, catalog):
    await catalog.commit([stored("a", 1, size=262_144_000)])
    plan = await applier.plan(load(PLAIN % f"'{START}a:1'"))
    assert "code and layers together are" in plan.refused[0].refusal


def test_folders_of_layers_are_watched(load, folder):
    load(SAM.format(description="one"))
    assert folder / "tools" in files_of(folder / "template.yaml")


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ("x", "'x' is not the ARN of a layer version"),
        (", ".join(f"'{START}l{n}:1'" for n in range(6)), "more than 5 layers"),
        (f"'{START}a:1', '{START}a:2'", "two versions of"),
    ],
)
def test_what_cannot_be(refuse, layers, text):
    (problem,) = refuse(PLAIN % layers)
    assert text in str(problem)


def test_a_folder_that_is_not_there(refuse, tools):
    tools.unlink()
    tools.parent.rmdir()
    tools.parent.parent.rmdir()
    (problem,) = refuse(SAM.format(description="one"))
    assert "tools is not a folder" in str(problem)
    assert "Tools" in str(problem)
