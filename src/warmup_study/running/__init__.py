"""Running experiments: stored runs are reused, missing ones trained, here or on a Dask cluster."""
