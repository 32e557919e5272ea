"""Cohorts: de-identified images and labels of pseudonymous patients, made once from files and then only read."""
