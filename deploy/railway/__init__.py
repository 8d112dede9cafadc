"""Write Railway's files and variables from one file per service."""
