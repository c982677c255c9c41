"""Models that can only be asked: recorded pictures, an HTTP endpoint, a user's own object."""
