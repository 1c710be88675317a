"""The numbers of a report: metrics, intervals, baselines, the worst errors."""
