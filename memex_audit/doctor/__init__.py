"""What is missing before a long audit, found in seconds and without drawing (`memex doctor`).

Each check is a small function of what it looks at, and gives a frozen record.
"""
