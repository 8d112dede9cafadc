"""Every line of SQL of the payment service."""
