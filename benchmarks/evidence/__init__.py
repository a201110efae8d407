"""What keeping pictures costs."""
