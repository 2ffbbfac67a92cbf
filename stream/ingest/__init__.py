"""Where events come from that no hospital sent: recorded stays and a synthetic ward."""
