"""Recipe and device in, checked package out.

    sources → plan → steps (Keras side) → quantize → evaluate → verdict → bench → package

Each arrow is a file in the store, found again by a key of everything that made it; a rebuild with nothing changed
walks the same way without starting TensorFlow.
"""
