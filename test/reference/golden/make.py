"""Makes the golden manifests beside this file with the real `wandb` package, offline, against an S3 server,
an HTTP server and a folder. usage: make.py S3_ENDPOINT HTTP_ORIGIN FOLDER OUT (wandb 0.31.0, boto3)

The server holds the bucket `golden`: versioned, with `set/a.txt`, `set/sub/b#c.txt`, `set/p%20q.bin`; the
folder and the HTTP server hold `file1.txt` and `nest/file2.txt`.
"""

import json
import os
import pathlib
import sys

endpoint, origin, folder, out = sys.argv[1:]
os.environ.update(AWS_S3_ENDPOINT_URL=endpoint, AWS_REGION="us-east-1", WANDB_MODE="offline")

import wandb  # noqa: E402


def save(name, artifact):
    manifest = artifact.manifest.to_manifest_json()
    document = {"digest": artifact.digest, "manifest": manifest}
    pathlib.Path(out, f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


s3 = wandb.Artifact("s3", "dataset")
s3.add_reference("s3://golden/set")
s3.add_reference("s3://golden/set/a.txt", name="unchecked", checksum=False)
save("s3", s3)

http = wandb.Artifact("http", "dataset")
http.add_reference(f"{origin}/file1.txt")
http.add_reference(f"{origin}/nest/file2.txt", name="unchecked", checksum=False)
save("http", http)

files = wandb.Artifact("files", "dataset")
files.add_reference(f"file://{folder}")
files.add_reference("ref://example.com/somefile.txt", name="tracked")
save("files", files)
