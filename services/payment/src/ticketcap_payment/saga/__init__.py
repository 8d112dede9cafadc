"""Take a payment from its hold to a seat or a refund.

    creation ──► the customer pays at YaadPay ──► returns ──► capture ──► seats
                                                     └─────────┴─────────┴──► refunds

Every arrow is a row of the outbox, written in the transaction before it, and ``deliveries`` delivers the rows. Each
step may run twice, or be lost and run later.
"""
