import pytest

from router.workers.runtimes import node


def test_options_fit_the_memory():
    assert "--max-old-space-size=115" in node.options(128, "")
    assert "--max-semi-space-size=6" in node.options(128, "")


def test_what_the_function_sets_itself_is_left_to_it():
    given = "--max-old-space-size=64 --max-semi-space-size=2"
    assert not [option for option in node.options(128, given) if "space" in option]


def test_modules_are_found_in_layers_client_runtime_and_code():
    assert node.module_path("22", "/npm").split(":") == [
        "{opt}/nodejs/node22/node_modules",
        "{opt}/nodejs/node_modules",
        "/npm/node_modules",
        "{runtime}/node_modules",
        "{runtime}",
        "{task}",
    ]


@pytest.mark.parametrize("script", ["bin/index.mjs", "index.mjs"])
def test_the_official_client_is_the_functions_own_or_the_routers(tmp_path, script):
    code, folder = tmp_path / "code", tmp_path / "npm"
    assert node.official_client(str(code), str(folder)) == ""
    for root, seen in ((folder, str(folder)), (code, "{task}")):
        (root / node.CLIENT / script).parent.mkdir(parents=True)
        (root / node.CLIENT / script).write_text("")
        assert node.official_client(str(code), str(folder)) == f"{seen}/{node.CLIENT}/{script}"
    assert node.official_client(str(code), "") == f"{{task}}/{node.CLIENT}/{script}"
