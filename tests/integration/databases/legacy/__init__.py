"""A Django backend of a vendor whose driver is not installed here."""
