"""Owns money: payments, captures, refunds, and what YaadPay said."""
