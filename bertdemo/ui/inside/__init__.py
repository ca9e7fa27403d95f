"""The views of "Look inside", one small module each. ``look_inside`` says how to add one."""
