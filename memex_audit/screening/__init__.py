"""Screens: a score for a prompt from a few network evaluations, before any picture is drawn.

A score decides which prompts are looked at first and how much is spent on them, never a verdict.
"""
