"""Instance masks of equal parts in a bin, learnt without labels, on ROS 2."""

__version__ = '0.1.0'
