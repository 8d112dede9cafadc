"""Serve and call gRPC."""
