"""Published test sets of shifted images: their layouts, their arrays, and which copy a folder holds."""
