"""Hand seat announcements of every replica to this replica's watchers.

``listener`` receives announcements, ``check`` proves that it does, and
``watchers`` hold the newest one for each reader.
"""
