"""`envpin matrix verify`: families × environments, climbed by the ladder worker; what was seen becomes evidence."""
