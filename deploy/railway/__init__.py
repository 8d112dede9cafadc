"""Railway's files and variables, from one file for each service."""
