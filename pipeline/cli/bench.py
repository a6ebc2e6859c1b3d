def add(s): s.add_parser("bench")
