"""Stand in for the card gateway YaadPay on one machine.

It speaks the protocol and moves no money.
"""
