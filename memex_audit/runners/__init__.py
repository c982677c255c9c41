"""Share work out: units -> processes of this machine, or actors of a Ray cluster -> receipts.

A unit is a few prompts to draw for, or a shard of a training set to embed. What is made of it goes into the
store; what comes back is a receipt, a few counts.
"""
