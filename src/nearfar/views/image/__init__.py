"""Views of images, batched on the device."""
