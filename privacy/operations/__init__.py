"""What every long-running program of Collegium offers to those who watch it; it knows neither rounds nor images."""
