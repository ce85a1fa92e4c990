"""The support bundle: what somebody needs to help from afar, without a secret in it."""
