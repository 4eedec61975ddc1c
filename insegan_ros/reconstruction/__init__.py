"""A part's mesh from unlabelled depth: views of parts that lie alone, linked to one shape."""
