"""Findings -> rate with bounds -> verdict: what an audit says of a population, and how sure it is.

Import from the modules: those that bound and test need scipy, `verdicts` and records of results nothing.
"""
