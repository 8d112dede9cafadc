"""Own money: payments, captures, refunds and YaadPay's records of them."""
