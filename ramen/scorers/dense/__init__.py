"""One vector of weights per label, trained on the frozen encoder."""
