"""`python -m treeroll` is `treeroll`."""

import sys

from treeroll.cli import main

sys.exit(main())
