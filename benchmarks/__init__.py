"""Questions with measured answers: one file a question, each runnable alone as `python -m benchmarks.NAME`."""
