"""A real headless Chromium, driven over the WebDriver protocol of its own driver."""
