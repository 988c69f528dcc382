"""`manage.py keys` and `manage.py signin`."""
