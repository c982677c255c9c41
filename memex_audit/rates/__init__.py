"""Findings -> rate with bounds -> verdict: what an audit says of a population, and how sure it is.

Import from the modules: `bounds`, `blind_spot` and `extraction_rate` need scipy, `verdicts` needs nothing.
"""
