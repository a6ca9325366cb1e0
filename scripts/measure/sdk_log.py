"""Adds everything below a URI to an artifact with the reference SDK, offline; prints what it took."""

import json
import sys
import time

import wandb

uri, most = sys.argv[1], int(sys.argv[2])
artifact = wandb.Artifact("bench", type="dataset")
start = time.perf_counter()
entries = artifact.add_reference(uri, max_objects=most)
seconds = time.perf_counter() - start
print(
    json.dumps(
        {
            "seconds": seconds,
            "objects": len(entries),
            "digest": artifact.digest,
            "version": wandb.__version__,
        }
    )
)
