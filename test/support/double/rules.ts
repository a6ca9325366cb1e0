// Which of a double's next requests meet an accident. Does not carry it out.

import { matches, type MatchOf } from "./match.js";

interface Rule<Match, Accident> {
  readonly match: Match;
  readonly accident: Accident;
  times: number;
}

export class Rules<Seen, Key extends keyof Seen, Accident> {
  readonly #rules: Rule<MatchOf<Seen, Key>, Accident>[] = [];

  add(match: MatchOf<Seen, Key>, accident: Accident, times: number): void {
    this.#rules.push({ match, accident, times });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** The accident of the first rule that is not used up; this request uses it once. */
  take(seen: Seen): Accident | undefined {
    const rule = this.#rules.find(({ match, times }) => times > 0 && matches(match, seen));
    if (rule === undefined) return undefined;
    rule.times -= 1;
    return rule.accident;
  }
}
