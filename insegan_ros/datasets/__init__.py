"""Scenes on disk: HDF5 shards and recordings."""
