"""Secure aggregation on the silo: quantising, key grants, rounds and the checks before a sum is opened."""
