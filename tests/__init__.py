"""The tests of attn_bottleneck: `python3 -m unittest` in the project's root."""
