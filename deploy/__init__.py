"""What a router is deployed with; the scripts among it are run as `python -m deploy.…`."""
