import pytest

from router.model.errors import ConfigError
from router.model.hosting import Hosting
from router.model.runtimes import Family
from router.workers.runtimes import host


@pytest.fixture
def program(tmp_path):
    def make(path, text="#!/bin/sh\necho v20.1.2\n"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file

    return make


def test_programs_are_found_on_the_path(program):
    node = program("bin/node")
    assert host.find(str(node.parent)) == {Family.NODEJS: str(node)}


def test_an_installation_is_needed_whole_and_without_what_links_hide(program, tmp_path):
    node = program("node-20/bin/node")
    (tmp_path / "node-20/lib").mkdir()
    link = tmp_path / "usual/node"
    link.parent.mkdir()
    link.symlink_to(node)
    assert host.real(str(link)) == str(node)
    assert host.needs(str(link)) == (str(tmp_path / "node-20"),)


def test_where_links_of_its_configuration_lead(program, tmp_path):
    java = program("jdk/bin/java")
    etc = tmp_path / "etc/java"
    etc.mkdir(parents=True)
    (etc / "logging.properties").write_text("")
    (tmp_path / "jdk/lib").mkdir()
    (tmp_path / "jdk/conf").mkdir()
    (tmp_path / "jdk/conf/logging.properties").symlink_to(etc / "logging.properties")
    (tmp_path / "jdk/conf/broken").symlink_to(tmp_path / "nowhere/at/all")
    assert host.needs(str(java)) == (str(etc), str(tmp_path / "jdk"))


def test_a_program_in_a_folder_of_everybody_is_needed_alone(program, tmp_path, monkeypatch):
    tool = program("bin/tool")
    assert host.needs(str(tool)) == (str(tool),)
    (tmp_path / "lib").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))  # ~/bin beside ~/lib is nobody's installation
    host.needs.cache_clear()
    assert host.needs(str(tool)) == (str(tool),)


def test_what_every_function_sees_is_not_needed_again():
    assert host.needs("/bin/sh") == ()


def test_versions(program, tmp_path):
    assert host.version_of(str(program("a/node")), Family.NODEJS) == "20.1.2"
    java = program("b/java", "#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025' >&2\n")
    assert host.version_of(str(java), Family.JAVA) == "17.0.15"
    assert host.version_of(str(program("c/odd", "#!/bin/sh\nexit 3\n")), Family.NODEJS) == ""
    assert host.version_of(str(tmp_path / "none"), Family.NODEJS) == ""


def test_settings_that_name_what_is_there(program, tmp_path):
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars/aws-lambda-java-runtime-interface-client-2.9.0.jar").write_text("")
    (tmp_path / "npm/node_modules").mkdir(parents=True)
    clients = {"java": str(tmp_path / "jars"), "nodejs": str(tmp_path / "npm")}
    host.check({"nodejs22.x": str(program("node"))}, clients)


@pytest.mark.parametrize(
    ("runtimes", "clients", "words"),
    [
        ({"nodejs22": "/bin/sh"}, {}, "'nodejs22' is none of python3.8"),
        ({"go1.x": "/bin/sh"}, {}, "'go1.x' is none of"),
        ({"provided.al2": "/bin/sh"}, {}, "takes no program"),
        ({"nodejs22.x": "/none"}, {}, r"/none \(for nodejs22.x\) is not an executable file"),
        ({"nodejs22.x": __file__}, {}, "is not an executable file"),
        ({}, {"java": "/tmp"}, "holds no aws-lambda-java-runtime-interface-client"),
        ({}, {"nodejs": "/none"}, "holds no node_modules"),
        ({}, {"python": "/none"}, "holds no awslambdaric"),
    ],
)
def test_settings_that_do_not(runtimes, clients, words):
    with pytest.raises(ConfigError, match=words):
        host.check(runtimes, clients)


def test_what_runs_functions_is_told():
    found = {Family.NODEJS: "/usr/bin/node", Family.JAVA: "/usr/bin/java"}
    text = host.describe(Hosting(found=found, runtimes={"nodejs22.x": "/n22"}))
    assert text.startswith("nodejs22.x by /n22, python3.* by /")
    assert "nodejs* by /usr/bin/node, java* by /usr/bin/java (without ROUTER_RUNTIME" in text
    strict = Hosting(is_strict=True, runtimes={"java21": "/j"}, clients={"java": "/jars"})
    assert host.describe(strict) == "java21 by /j, provided* by their bootstrap"
