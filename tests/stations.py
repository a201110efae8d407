"""Station files that several tests begin with."""

UP_TO_CAMERA = """site = "plant-a"
line = "L3"
station = "cam-2"
bundle = "part.onnx"
data = "state"
[region.J4]
expected = "A12"
[mqtt]
host = "127.0.0.1"
[camera]
"""
"""All but the camera's table, whose keys are to follow."""
