"""Fuzz targets: bytes in, and nothing but a documented refusal may come out.

    python -m tests.fuzz                   every target for 20 s, two at a time
    python -m tests.fuzz --target frames --seconds 1200
    python -m tests.fuzz --seed 1          the same inputs each time, as `make test` does
    python -m tests.fuzz --replay          the corpus alone, as `test_corpus.py` does

A target is a module with `one_input(data)`; what it raises is a finding. It may have
`oracle(data)`, which is not measured. Seeds and findings live in `corpus/<target>/`.
"""
