def add(s): s.add_parser("new")
