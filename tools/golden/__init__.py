"""Parts of tools/make_golden.py: one module per folder of tests/golden, each with make(folder)."""
