"""API keys and tokens: their format, their rows, who may do what, and the admin for them. Never imports `inference`."""
