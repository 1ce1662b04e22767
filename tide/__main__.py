"""``python -m tide``, as ``torchrun -m tide`` needs it."""

import sys

from tide.cli.main import main

sys.exit(main())
