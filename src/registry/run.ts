// What the registry tells of runs: what was done, by whom, with which versions.

/** `run`: a command run by refmount, or a run that somebody started by name. The others stand for one command each. */
export const RUN_KINDS = ["run", "log", "mount", "download"] as const;
export type RunKind = (typeof RUN_KINDS)[number];

export interface GitState {
  /** The commit that was checked out, hex. */
  readonly commit: string;
  /** True when tracked files differed from it; null when that was not found out. */
  readonly dirty: boolean | null;
  /** Where it comes from, without credentials; null when it has no remote `origin`. */
  readonly remote: string | null;
}

/** What is known of a run when it begins. Holds no environment variable. */
export interface RunStart {
  readonly kind: RunKind;
  /** What somebody called it; null: nothing. */
  readonly title: string | null;
  readonly command: readonly string[];
  /** Where it was started; null when unknown. */
  readonly directory: string | null;
  readonly host: string;
  readonly user: string;
  readonly git: GitState | null;
}

/** Who logs: a run that is known, or one that stands for this log alone. */
export type Producer = { readonly run: string } | { readonly start: RunStart };

/** A version that a run used or produced. */
export interface RunVersion {
  /** `[entity/][project/]name:vN` */
  readonly ref: string;
  readonly type: string;
  /** The W&B digest. */
  readonly digest: string;
  /** The revision that it was. */
  readonly manifestDigest: string;
  readonly how: RunKind;
  readonly atMs: number;
  readonly deleted: boolean;
}

export interface Run extends RunStart {
  /** What people write to name it. */
  readonly id: string;
  readonly startedMs: number;
  /** Null while it goes on. */
  readonly finishedMs: number | null;
  /** Null while it goes on, and when nobody told. */
  readonly exitCode: number | null;
  readonly used: readonly RunVersion[];
  readonly produced: readonly RunVersion[];
}
