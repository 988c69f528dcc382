"""Headers of the whole site, and CORS for the API."""
