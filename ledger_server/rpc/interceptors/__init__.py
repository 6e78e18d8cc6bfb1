"""Interceptors: one concern each; rpc/server.py orders them."""
