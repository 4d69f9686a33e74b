"""The generator of labelled exercise clips: movements as data, a body, a camera, pictures, and the exact truth."""
