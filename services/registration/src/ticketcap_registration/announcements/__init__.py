"""Hand seat announcements of every replica to this replica's watchers.

``announcer`` sends announcements after their commits, ``listener`` receives them,
``check`` proves that it does, and ``watchers`` hold the newest one for each reader.
"""
