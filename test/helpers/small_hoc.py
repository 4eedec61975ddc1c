"""Shape of a small generator of heaps."""

from insegan_ros.methods.hoc.generator import HocConfig

SMALL = HocConfig(size=32, z=8, width=8, providers=3)
