"""Every line of SQL.

``models`` is the schema, ``seats`` what a lane's transaction runs; the others are plain reads and writes.
"""
