"""YAML to a checked plan; nothing runs yet."""
