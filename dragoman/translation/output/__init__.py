"""Reading lines and writing translations: streams, shards, and files that survive an interruption."""
