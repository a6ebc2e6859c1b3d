"""Shipped graphs: `pipe run NAME` finds NAME.yaml here."""
