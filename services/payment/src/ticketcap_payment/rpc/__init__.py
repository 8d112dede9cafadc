"""Translate gRPC messages; decide nothing."""
