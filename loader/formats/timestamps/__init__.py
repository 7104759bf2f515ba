"""How rows tell when they are of."""
