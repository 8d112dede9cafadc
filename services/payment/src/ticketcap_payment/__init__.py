"""Take payments through YaadPay, and refund them."""
