"""HTTP: translates requests into calls of the services and their answers back; decides nothing about seats."""
