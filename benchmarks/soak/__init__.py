"""A soak: a real server under mixed traffic for as long as one likes, measured from outside, judged at the end."""
