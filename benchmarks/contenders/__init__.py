"""Who races: one file a tool. Each function takes the work (`benchmarks/work.py`) and returns figures."""
