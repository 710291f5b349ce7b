"""What stands between an encoder's vectors and the contrast, and is thrown away afterwards."""
