// Where a redirect leads, and whether it is followed there. Pure: sends nothing.
//
// Followed are at most ten, from http: to http: or https: and from https: to https: only, since what
// comes over http: can be changed by anybody on the way. None leads to a metadata service or from
// elsewhere to this machine itself. Private addresses are open: in many networks the public name of a
// bucket has one. Targets may be signed, so no message shows more of one than its origin.

import { Fault } from "../../model/fault.js";
import { isLoopback, isMetadata } from "../address.js";
import type { Transfer } from "../transfer.js";

const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** The way of one request so far. */
export interface Trail {
  /** Where the next request goes. */
  readonly url: URL;
  readonly visited: readonly string[];
  /** It was at another origin than the uri's: from there on it carries no credentials. */
  readonly strayed: boolean;
  /** It was at another machine than this one. */
  readonly remote: boolean;
}

export function startTrail(url: URL): Trail {
  return { url, visited: [url.href], strayed: false, remote: false };
}

/**
 * The trail after `answer`; null when that is no redirect.
 * @throws Fault `denied` for a redirect that is not followed.
 */
export function nextTrail(
  trail: Trail,
  { status, headers, peer }: Pick<Transfer, "status" | "headers" | "peer">,
  subject: string,
): Trail | null {
  const { location } = headers;
  if (location === undefined || !REDIRECTS.has(status)) return null;
  const url = URL.canParse(location, trail.url.href) ? new URL(location, trail.url) : undefined;
  if (url === undefined) throw notFollowed(subject, "to no address");
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw notFollowed(subject, `to a ${url.protocol} address`);
  }
  if (trail.url.protocol === "https:" && url.protocol === "http:") {
    throw notFollowed(subject, `from https: to ${url.origin}`);
  }
  if (trail.visited.includes(url.href)) throw notFollowed(subject, "in a circle");
  if (trail.visited.length > MAX_REDIRECTS) {
    throw notFollowed(subject, `more than ${MAX_REDIRECTS} times`);
  }
  return {
    url,
    visited: [...trail.visited, url.href],
    strayed: trail.strayed || url.origin !== trail.url.origin,
    remote: trail.remote || peer === undefined || !isLoopback(peer),
  };
}

/** Why a host or an address may not be asked at this point, as a clause; undefined when it may. */
export function refusal(trail: Trail, host: string): string | undefined {
  if (isMetadata(host)) return "it is link-local, or a cloud's metadata service";
  if (trail.remote && isLoopback(host)) return "a redirect may not lead to this machine itself";
  return undefined;
}

function notFollowed(subject: string, where: string): Fault {
  return new Fault(
    "denied",
    `${subject} redirects ${where}, which is not followed; reference what it leads to`,
    { subject },
  );
}
