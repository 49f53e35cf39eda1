"""Real processes, killed; counted by sets of ids (`docs/contracts/reliability.md` 2 and 4)."""
