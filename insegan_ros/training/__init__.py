"""One recipe a method, over one shared loop."""
