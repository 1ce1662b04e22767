"""Photos in folders: finding, decoding and cropping them, in memory or by worker processes ahead of their use."""
