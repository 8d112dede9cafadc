"""Apply commands on an event's seats in order, batch by batch.

``lanes`` finds the lane of an event, ``lane`` queues and flushes, ``batch`` takes
one batch through every kind of failure, ``seat_transaction`` is the transaction.
"""
