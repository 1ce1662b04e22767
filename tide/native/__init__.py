"""The loop over ticks as compiled code, for float32 on CPUs: the same mathematics as :class:`tide.models.tide.TideCell`.

Optional: :func:`tide.native.choice.choose` says in one sentence whether it runs and why. The eager cell is the reference.
"""
