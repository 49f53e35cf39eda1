"""What is kept twice is the same twice."""

from deploy import kubernetes


def test_what_k8s_has_of_deploy_is_current():
    """Kustomize reads no file outside its folder, so rules and dashboards are there as well."""
    for path, text in kubernetes.files().items():
        assert path.is_file(), f"{path} is missing: make k8s"
        assert path.read_text("utf-8") == text, f"{path} is not current: make k8s"
    names = {path.name for path in kubernetes.DASHBOARDS.glob("*.json")}
    assert {path.name for path in kubernetes.MONITORING.glob("dashboards/*")} == names
