"""Trace and measure RPCs of grpc.aio."""
