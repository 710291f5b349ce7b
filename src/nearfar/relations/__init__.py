"""Who is a positive of whom, who competes, who is left out; one file each."""
