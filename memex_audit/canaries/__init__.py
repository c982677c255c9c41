"""Canaries: captioned pictures, planted into a training set to show an audit's power on its model."""
