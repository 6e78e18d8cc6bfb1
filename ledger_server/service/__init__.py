"""Floor 2: the verbs, the lanes and the group commit. Knows no gRPC and no SQL."""
