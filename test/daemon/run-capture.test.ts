import { expect, test } from "vitest";
import { captureRun } from "../../src/daemon/run-capture.js";

test.each([
  [
    ["env", "AWS_SECRET_ACCESS_KEY=hush", "python", "train.py"],
    "env AWS_SECRET_ACCESS_KEY=... python train.py",
  ],
  [["train", "--token", "hush", "--epochs", "5"], "train --token ... --epochs 5"],
  [["train", "--api-key=hush", "--lr=0.1"], "train --api-key=... --lr=0.1"],
  [["load", "postgres://user:hu/sh@host/db"], "load postgres://host/db"],
  [["get", "https://hush@host/x"], "get https://host/x"],
  [["get", "https://host/x?sig=hush&a=1#access_token=hush"], "get https://host/x?...#..."],
  [["get", "https://host/x#hush"], "get https://host/x#..."],
  [["sh", "-c", "curl https://u:hush@host/x?k=hush -o f"], "sh -c curl https://host/x?... -o f"],
  [["login", `hf_${"h".repeat(34)}`], "login ..."],
  [
    ["log", "s3://bucket/dir@v1/a:b", "gs://bucket/key#17"],
    "log s3://bucket/dir@v1/a:b gs://bucket/key#17",
  ],
  [["python", "train.py", "--data", "{}", "x=1"], "python train.py --data {} x=1"],
])("of %j is kept: %s", async (command, kept) => {
  expect((await captureRun("run", command)).command.join(" ")).toBe(kept);
});
