"""Calls whose TLS a hospital's proxy opens: every message is signed, so that who reads the line cannot change it.

`records` is what is signed, `window` keeps a call from being made twice, `service` is the aggregator's end, `line` the
silo's. The mode gives no secrecy from the proxy; what is secret is sealed within the messages. See decision 0038.
"""
