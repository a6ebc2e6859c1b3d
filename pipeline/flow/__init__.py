"""How a frame crosses an edge; knows no operator."""
