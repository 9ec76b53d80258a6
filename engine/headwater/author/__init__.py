"""How a pipeline is written: steps, commands, conditions, maps, and the function that wires them."""
