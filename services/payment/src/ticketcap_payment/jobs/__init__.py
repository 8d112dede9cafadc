"""Run the jobs that no request starts."""
