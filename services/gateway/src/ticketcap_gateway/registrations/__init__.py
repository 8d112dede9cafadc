"""Serve registrations: claims, check-ins and the spreadsheet."""
