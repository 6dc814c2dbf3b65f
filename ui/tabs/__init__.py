"""What stands behind each tab of the page."""
