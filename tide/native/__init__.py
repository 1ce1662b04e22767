"""The loop over ticks as compiled code, for float32 on CPUs: the mathematics of :class:`tide.models.tide.TideCell`.

Optional: :func:`tide.native.choice.choose` says whether it runs and why. The eager cell is the reference.
"""
