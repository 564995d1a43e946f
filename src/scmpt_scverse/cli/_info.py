"""What `scmpt info` tells."""
