"""The `router` command."""


def main() -> None:
    """Run it."""
