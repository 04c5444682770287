"""What is asked: suites, their cells, published values, what is tuned. Nothing runs here."""
