"""What takes a payment on, step by step; each step can be lost and done again.

    creation ──► the customer pays at YaadPay ──► returns ──► capture ──► seats
                                                     └─────────┴─────────┴──► refunds

Every arrow is a row of the outbox, written in the transaction before it; ``deliveries`` takes the rows on.
"""
