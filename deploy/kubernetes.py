"""Makes what k8s/ has of deploy/: Prometheus' rules as objects, and Grafana's dashboards.

    python -m deploy.kubernetes

Kustomize reads no file outside its folder, so these are copies; tests compare them.
"""

from pathlib import Path
from typing import Final

DEPLOY: Final = Path(__file__).parent
RULES: Final = DEPLOY / "prometheus" / "rules"
DASHBOARDS: Final = DEPLOY / "grafana" / "dashboards"
MONITORING: Final = DEPLOY.parent / "k8s" / "components" / "monitoring"

MADE_OF: Final = "# Made of deploy/{place} by `make k8s`; change it there.\n"

RULE: Final = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: router-{name}
  labels:
    app.kubernetes.io/name: router
spec:
"""


def rules() -> str:
    """A `PrometheusRule` for each file of rules, its comments included."""
    objects = []
    for path in sorted(RULES.glob("*.yml")):
        before, groups, after = path.read_text("utf-8").partition("groups:\n")
        objects.append(before + RULE.format(name=path.stem) + _indented(groups + after, 2))
    return MADE_OF.format(place="prometheus/rules") + "---\n".join(objects)


def files() -> dict[Path, str]:
    """Each file, and what is in it."""
    made = {MONITORING / "prometheus-rules.yaml": rules()}
    for path in sorted(DASHBOARDS.glob("*.json")):
        made[MONITORING / "dashboards" / path.name] = path.read_text("utf-8")
    return made


def _indented(text: str, spaces: int) -> str:
    lines = (" " * spaces + line if line.strip() else line for line in text.splitlines(True))
    return "".join(lines)


def main() -> None:
    """Write them."""
    made = files()
    for path in MONITORING.glob("dashboards/*"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
