// Holds requests of a double back until a test lets them go: in place of sleeps.

import { deferred } from "../../../src/model/deferred.js";
import { matches, type MatchOf } from "./match.js";

/** A request held back until it is released. */
export interface Held {
  /** Settles when a matching request has arrived. */
  readonly arrived: Promise<void>;
  release(): void;
}

interface Hold<Match> {
  readonly match: Match;
  readonly arrive: () => void;
  readonly released: Promise<void>;
}

export class Holds<Seen, Key extends keyof Seen> {
  readonly #holds: Hold<MatchOf<Seen, Key>>[] = [];

  add(match: MatchOf<Seen, Key>): Held {
    const arrival = deferred<undefined>();
    const release = deferred<undefined>();
    const hold: Hold<MatchOf<Seen, Key>> = {
      match,
      arrive: () => arrival.resolve(undefined),
      released: release.promise,
    };
    this.#holds.push(hold);
    return {
      arrived: arrival.promise,
      release: () => {
        this.#holds.splice(this.#holds.indexOf(hold), 1);
        release.resolve(undefined);
      },
    };
  }

  /** Settles when nobody holds the request any longer. */
  async pass(seen: Seen): Promise<void> {
    for (const hold of this.#holds.filter(({ match }) => matches(match, seen))) {
      hold.arrive();
      await hold.released;
    }
  }
}
