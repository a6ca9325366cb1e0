// Which requests of a double something is about.

/** Some of what is known of a request; a request matches when all of it is the same. */
export type MatchOf<Seen, Key extends keyof Seen> = Partial<Pick<Seen, Key>>;

export function matches<Seen, Key extends keyof Seen>(
  match: MatchOf<Seen, Key>,
  seen: Seen,
): boolean {
  return (Object.keys(match) as Key[]).every((name) => match[name] === seen[name]);
}
