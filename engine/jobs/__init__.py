"""Jobs: what is ordered, how orders and events travel, and who waits for what."""
