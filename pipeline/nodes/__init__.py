"""Test nodes of the engine, in graphs as `driver: test.counter`, `op: test.null`: for tests, benches and first steps."""
