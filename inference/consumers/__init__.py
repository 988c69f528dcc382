"""WebSocket sessions: chat, translation, and the courtesy for every other path."""
