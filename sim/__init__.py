"""The bin simulator: parametric parts, the bin's physics, the ray-casting camera, the generator of
shards."""
