"""What is heard: rooms, loops on them, places in durable rooms."""
