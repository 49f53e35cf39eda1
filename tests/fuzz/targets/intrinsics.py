"""Templates: whatever is written, reading and resolving it ends in values or in problems."""

from router.template.conditions import Conditions
from router.template.intrinsics import Resolver
from router.template.problems import Mark, Places, Problems, TemplateRefused
from router.template.read import read_text

VALUES = {"Name": "shop", "Count": 3, "List": ["a", "b"], "AWS::Region": "eu-west-1"}
MAPPINGS = {"Sizes": {"small": {"Memory": 128, "Zones": ["x"]}}}
TEXT_MAX = 4_000_000
"""No value may grow beyond what a template may hold by much."""


class Things:
    def ref(self, logical_id, path):
        return f"physical-{logical_id}"

    def attribute(self, logical_id, name, path):
        return f"{name}-of-{logical_id}"


def one_input(data):
    try:
        document = read_text(data, "t.yaml")
        problems = Problems(Places("t.yaml", {(): Mark(1, 1)}))
        tree = document.value
        without = Resolver(VALUES, MAPPINGS, {}, problems)
        conditions = Conditions(tree.get("Conditions", {}), without, problems).all()
        first = Resolver(VALUES, tree.get("Mappings", MAPPINGS), conditions, problems)
        half = first.resolve(tree.get("Resources", tree), ("Resources",))
        second = Resolver(VALUES, MAPPINGS, conditions, problems, Things())
        assert size(second.resolve(half, ("Resources",))) < TEXT_MAX
        problems.raise_any()
    except TemplateRefused as refused:
        assert refused.problems
        assert all(problem.line >= 1 for problem in refused.problems)


def size(value):
    if isinstance(value, dict):
        return sum(len(str(name)) + size(inner) for name, inner in value.items())
    if isinstance(value, list):
        return sum(map(size, value))
    return len(value) if isinstance(value, str) else 1
