// Logs in this process, from the S3 double and from local trees, into a home of its own.

import { readdir } from "node:fs/promises";
import { findEntry, findVersion, listEntries } from "../../src/daemon/browse.js";
import { openHome, type Home } from "../../src/daemon/home.js";
import {
  logReferences,
  parseSource,
  type LogReport,
  type LogRequest,
  type LogWatch,
} from "../../src/daemon/log.js";
import type { Entry } from "../../src/model/entry.js";
import { Fault } from "../../src/model/fault.js";
import { Rig } from "./rig.js";
import { startS3Double, type S3Double } from "./s3-double.js";

export class LogWorld implements AsyncDisposable {
  readonly rig: Rig;
  readonly s3: S3Double;
  readonly home: Home;
  /** What the user was told. */
  readonly notices: string[] = [];

  private constructor(rig: Rig, s3: S3Double) {
    this.rig = rig;
    this.s3 = s3;
    this.home = openHome(rig.home, rig.environment);
  }

  static async create(): Promise<LogWorld> {
    const s3 = await startS3Double();
    return new LogWorld(await Rig.create(s3.environment), s3);
  }

  /** Logs what `--ref` would name as `mnist`, at most 100 objects, unless told otherwise. */
  log(
    refs: readonly string[],
    request: Partial<LogRequest> = {},
    watch: Partial<LogWatch> = {},
  ): Promise<LogReport> {
    return logReferences(
      this.home,
      {
        name: "mnist",
        type: "dataset",
        sources: refs.map(parseSource),
        aliases: [],
        tags: [],
        description: null,
        metadata: {},
        maxObjects: 100,
        checksum: true,
        hash: false,
        pinVersion: false,
        onConflict: "fail",
        ttl: "inherit",
        producer: { run: null, command: null },
        ...request,
      },
      {
        environment: this.rig.environment,
        signal: new AbortController().signal,
        onNotice: (message) => this.notices.push(message),
        ...watch,
      },
    );
  }

  /** Writes a list and returns the `--ref` that names it. */
  async list(name: string, lines: readonly (string | readonly string[])[]): Promise<string> {
    const text = lines.map((line) => (typeof line === "string" ? line : line.join("\t")));
    await this.rig.tree(".", { [name]: `${text.join("\n")}\n` });
    return `@${this.rig.path(name)}`;
  }

  entries(report: Pick<LogReport, "ref">): Entry[] {
    return [...listEntries(this.home, findVersion(this.home, report.ref))];
  }

  paths(report: Pick<LogReport, "ref">): string[] {
    return this.entries(report).map(({ path }) => path);
  }

  entry(report: Pick<LogReport, "ref">, path: string): ReturnType<typeof findEntry> {
    return findEntry(this.home, findVersion(this.home, report.ref), path);
  }

  manifestFiles(): Promise<string[]> {
    return readdir(this.home.manifestsDir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.s3[Symbol.asyncDispose]();
    await this.rig[Symbol.asyncDispose]();
  }
}

/** The fault that `promise` ends with. */
export async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Fault)) throw new Error(`no fault but ${String(error)}`);
  return error;
}
