"""Sources: benchmark files (found by `layouts`, read as TAB tables, JSON Lines or plain lines) and the hub."""
