"""What each task does before and after the engine: chat, translation."""
