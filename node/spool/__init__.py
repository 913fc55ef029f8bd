"""Every byte that the node keeps on disk. Knows no network and no database."""
