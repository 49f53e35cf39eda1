"""What the demos share: a router as its user has it, a ledger of what became of everything."""
