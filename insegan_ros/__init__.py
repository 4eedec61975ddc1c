"""Instance masks of equal parts in a bin, learnt without labels, on ROS 2."""

# The one place for the version: setup.py reads it from here. package.xml and CITATION.cff must
# repeat it, because colcon and citation tools read files alone; test/test_version.py compares them.
__version__ = '0.2.0'
