"""Pipe's engine: graphs of operators, frames without copies, a ledger that balances."""
