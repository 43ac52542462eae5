"""`Secret` under the name by which this room's modules know it; it is defined in `pratique.secret`, for all rooms."""

from pratique.secret import HIDDEN, Secret

__all__ = ["HIDDEN", "Secret"]
