"""The sweep: the only code that knows Ray Tune's tuner, searchers, storage and clusters."""

__version__ = "0.1.0"
