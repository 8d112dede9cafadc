"""One serial lane per event: what wants its seats is merged into one durable transaction after another.

``lanes`` finds the lane of an event, ``lane`` queues and flushes, ``batch`` sees
one batch through every kind of failure, ``seat_transaction`` is the transaction.
"""
