"""Extraction without prompts: many generations, the training images nearest to them, one rate.

For models that take no prompts, and for training sets whose captions are not known.
"""
