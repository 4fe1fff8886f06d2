"""Which release to probe next: the axis, the prior, the belief. Pure."""
