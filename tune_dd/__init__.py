"""The sweep: the only code that knows Ray Tune's tuner, searchers, storage and clusters."""
