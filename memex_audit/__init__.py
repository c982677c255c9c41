"""Audit text-to-image diffusion models for memorized training images.

Importing this loads nothing heavy; see README.md for the two commands, and audits/ for how a test looks.
"""
