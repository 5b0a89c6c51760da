"""What goes over the wire: frames as bytes and as values, and the strict reading of both."""
