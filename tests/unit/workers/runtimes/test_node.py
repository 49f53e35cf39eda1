import pytest

from router.workers.runtimes import node


def test_options_fit_the_memory():
    assert "--max-old-space-size=115" in node.options(128, "")
    assert "--max-semi-space-size=6" in node.options(128, "")


def test_what_the_function_sets_itself_is_left_to_it():
    given = "--max-old-space-size=64 --max-semi-space-size=2"
    assert not [option for option in node.options(128, given) if "space" in option]


@pytest.mark.parametrize(
    ("runtime", "version", "off"),
    [
        ("22", "22.14.0", ["experimental-require-module", "experimental-detect-module"]),
        ("20", "20.20.2", ["experimental-require-module"]),
        ("24", "24.1.0", ["experimental-require-module"]),
        ("22", "20.16.0", ["experimental-detect-module"]),
        ("22", "20.9.0", []),
        ("22", "18.20.0", []),
        ("22", "26.0.0", []),
        ("26", "26.0.0", []),
        ("22", "", []),
    ],
)
def test_features_that_lambda_has_off_are_off_where_the_option_is_known(runtime, version, off):
    assert node.switched_off(runtime, version) == off
    chosen = node.options(128, "--experimental-require-module", off)
    assert "--no-experimental-require-module" not in chosen
    assert ("--no-experimental-detect-module" in chosen) == ("experimental-detect-module" in off)


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
