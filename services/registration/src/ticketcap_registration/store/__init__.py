"""Hold every line of SQL.

``models`` is the schema, ``seats`` the statements of a lane's transaction; the others are plain reads and writes.
"""
