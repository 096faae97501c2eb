"""``python -m nbversion``."""

import sys

from nbversion.cli import main

sys.exit(main())
