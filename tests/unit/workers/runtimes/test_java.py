from router.workers.runtimes import java


def test_options_fit_the_memory():
    assert "-XX:MaxHeapSize=76m" in java.options(128, "")
    assert "-XX:MaxHeapSize=819m" in java.options(1024, "")
    assert "-XX:+UseSerialGC" in java.options(128, "")


def test_what_the_function_sets_itself_is_left_to_it():
    given = "-Xmx300m -XX:+UseG1GC -XX:+TieredCompilation -Xshare:off"
    assert java.options(512, given) == ["-XX:-UsePerfData", "-Djava.io.tmpdir={tmp}"]
    assert "-XX:TieredStopAtLevel=1" in java.options(512, "-XX:MaxRAMPercentage=50")


def test_the_client_comes_before_the_code():
    assert java.class_path("/jars") == "/jars/*:{task}:{task}/lib/*:{opt}/java/lib/*"
