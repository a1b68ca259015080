"""The lab: train a setup from many seeds by hand, and look at it beside others. It writes nothing unasked."""
