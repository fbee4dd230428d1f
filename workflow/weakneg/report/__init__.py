"""Tables, figures and texts for readers."""
