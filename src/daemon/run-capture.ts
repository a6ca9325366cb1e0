// What is to be known of a run when it begins: its command line, place, host, user and git commit. Takes
// no environment variable along: they may hold secrets.

import { execFile } from "node:child_process";
import { hostname, userInfo } from "node:os";
import type { GitState, RunKind, RunStart } from "../registry/run.js";
import { secretIn } from "../stores/http/secret-query.js";

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
    command: withoutSecrets(command),
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

/** A command line without what its words may give away: by the names they have, or by their form. */
function withoutSecrets(words: readonly string[]): readonly string[] {
  return words.map((word, index) => {
    const option = /^--?([A-Za-z][\w-]*)$/.exec(words[index - 1] ?? "")?.[1];
    if (option !== undefined && !word.startsWith("-") && isSecret(option, "")) return HIDDEN;
    const [, name, value] = /^(?:--?)?([A-Za-z][\w-]*)=(.*)$/s.exec(word) ?? [];
    if (name !== undefined && value !== undefined && isSecret(name, value)) {
      return `${word.slice(0, word.length - value.length)}${HIDDEN}`;
    }
    return isSecret("", word) ? HIDDEN : withoutSecretsInUris(word);
  });
}

const HIDDEN = "...";

function isSecret(name: string, value: string): boolean {
  return secretIn(new URLSearchParams([[name, value]])) !== undefined;
}

function withoutSecretsInUris(text: string): string {
  return withoutUserInfo(text)
    .replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/[^\s?#]*)\?[^\s#]*/g, `$1?${HIDDEN}`)
    .replace(/(https?:\/\/[^\s#]*)#\S*/gi, `$1#${HIDDEN}`);
}

/** What stands before a host; a password may hold a "/". */
function withoutUserInfo(text: string): string {
  return text.replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)(?:[^\s/@]*:[^\s@]*@|[^\s/@]*@)/g, "$1");
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
