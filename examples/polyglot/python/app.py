import sys


def handler(event, context):
    name = event.get("name")
    if not name:
        raise ValueError("nobody to greet")
    print(f"greeting {name}")
    return {"greeting": f"Hello, {name}!", "language": f"Python {sys.version.split()[0]}"}
