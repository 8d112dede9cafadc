"""A stand-in of the card gateway YaadPay for one machine: it speaks the protocol and moves no money."""
