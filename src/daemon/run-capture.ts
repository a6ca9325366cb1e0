// What is to be known of a run when it begins: its command line, place, host, user and git commit. Takes
// no environment variable along: they may hold secrets.

import { execFile } from "node:child_process";
import { hostname, userInfo } from "node:os";
import type { GitState, RunKind, RunStart } from "../registry/run.js";

/** A repository on a slow disk must not hold anybody up, in milliseconds. */
const GIT_TIMEOUT_MS = 2_000;

export async function captureRun(
  kind: RunKind,
  command: readonly string[],
  title: string | null = null,
): Promise<RunStart> {
  const directory = currentDirectory();
  return {
    kind,
    title,
    command: command.map(withoutSecrets),
    directory,
    host: hostname(),
    user: userName(),
    git: directory === null ? null : await gitState(directory),
  };
}

async function gitState(directory: string): Promise<GitState | null> {
  const git = (...args: readonly string[]): Promise<string | null> =>
    new Promise((resolve) => {
      const options = { cwd: directory, timeout: GIT_TIMEOUT_MS, encoding: "utf8" } as const;
      execFile("git", args, options, (error, stdout) => {
        resolve(error === null ? stdout.trim() : null);
      });
    });
  const [commit, changes, remote] = await Promise.all([
    git("rev-parse", "--verify", "HEAD"),
    git("status", "--porcelain", "--untracked-files=no"),
    git("config", "--get", "remote.origin.url"),
  ]);
  if (commit === null || !/^[0-9a-f]{40,64}$/.test(commit)) return null;
  return {
    commit,
    dirty: changes === null ? null : changes !== "",
    remote: remote === null || remote === "" ? null : withoutUserInfo(remote),
  };
}

/** A word of a command line without what a uri in it may give away. */
function withoutSecrets(word: string): string {
  return withoutUserInfo(word.replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/[^\s?#]*)\?\S*/g, "$1?..."));
}

function withoutUserInfo(text: string): string {
  return text.replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^\s/@]*@/g, "$1");
}

function currentDirectory(): string | null {
  try {
    return process.cwd();
  } catch {
    // It was removed under us.
    return null;
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a user that its /etc/passwd does not know.
    return String(process.getuid?.() ?? "unknown");
  }
}
