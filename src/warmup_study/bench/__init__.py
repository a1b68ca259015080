"""How fast the engine is: beside ordinary loops and JAX, against the machine's own limit, and for many runs."""
