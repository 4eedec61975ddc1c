"""Every method ends here, as `segment(frame) -> Instances`."""
