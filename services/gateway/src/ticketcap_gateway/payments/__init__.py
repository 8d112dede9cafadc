"""Serve payments: pages, returns, refunds, escalations and bookkeeping."""
