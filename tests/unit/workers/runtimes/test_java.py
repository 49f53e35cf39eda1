import platform
import zipfile

from router.workers.runtimes import java


def test_options_fit_the_memory():
    assert "-XX:MaxHeapSize=76m" in java.options(128, "", "")
    assert "-XX:MaxHeapSize=819m" in java.options(1024, "", "")
    assert "-XX:+UseSerialGC" in java.options(128, "", "")


def test_what_the_function_sets_itself_is_left_to_it():
    given = "-Xmx300m -XX:+UseG1GC -XX:+TieredCompilation -Xshare:off"
    assert java.options(512, given, "") == ["-XX:-UsePerfData", "-Djava.io.tmpdir={tmp}"]
    assert "-XX:TieredStopAtLevel=1" in java.options(512, "-XX:MaxRAMPercentage=50", "")


def test_the_client_comes_before_the_code():
    assert java.class_path("/jars") == "/jars/*:{task}:{task}/lib/*:{opt}/java/lib/*"


def test_the_clients_library_is_unpacked_once(tmp_path):
    client, folder = tmp_path / "client", tmp_path / "java"
    client.mkdir()
    assert java.native_library(str(client), folder) == ""
    machine = platform.machine().replace("aarch64", "aarch_64")
    (client / "aws-lambda-java-runtime-interface-client-2.8.0.jar").write_text("broken")
    with zipfile.ZipFile(client / "aws-lambda-java-runtime-interface-client-2.9.0.jar", "w") as jar:
        for libc in ("linux", "linux_musl"):
            jar.writestr(f"jni/libaws-lambda-jni.{libc}-{machine}.so", libc)
    library = java.native_library(str(client), folder)
    assert library.startswith(f"{folder}/libaws-lambda-jni.linux")
    (only,) = folder.iterdir()
    assert only.stat().st_mode & 0o777 == 0o644
    assert java.native_library(str(client), folder) == library
    assert any(library in option for option in java.options(128, "", library))
