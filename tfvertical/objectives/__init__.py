"""Loss-side methods, one file each."""
