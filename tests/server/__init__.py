"""The whole server, as clients meet it: a real process, real sockets, the protocol as docs/protocol.md tells it."""
