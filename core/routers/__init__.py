"""Clusters' routers: where pods' weights are set, and where traffic is stopped (spec S16, S18). One module for each kind."""
