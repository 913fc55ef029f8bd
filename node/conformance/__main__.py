"""Print the conformance statement."""

import sys

from node.conformance import statement

sys.stdout.write(statement())
