// What becomes of the digest that a list gives for an object: recorded, or compared with what is known.

import type { Claim, Digests } from "../model/digest.js";
import { isCryptographic, type GivenDigest } from "../model/digest-text.js";
import { Fault } from "../model/fault.js";
import type { Found } from "./find.js";

/**
 * `found` with the digest that a list gives. A cryptographic one says which bytes these must be; a
 * checksum is a claim like the store's own. Of a local file it is only compared, since its bytes are
 * read and hashed anyway.
 * @throws Fault `corrupt` when it contradicts what is known.
 */
export function withGiven(found: Found, given: GivenDigest): Found {
  const { algorithm, value } = given;
  const { listed } = found;
  const claimed = listed.claims.find((claim) => claim.algorithm === algorithm)?.value;
  refuseOther(found.digests[algorithm], given, "its entry has");
  refuseOther(claimed, given, "the store holds");
  if (listed.localPath !== undefined) return { ...found, given };
  if (isCryptographic(algorithm)) {
    return { ...found, given, digests: { ...found.digests, [algorithm]: value } };
  }
  const claim: Claim = { algorithm, value, source: "checksum" };
  const others = listed.claims.filter((other) => other.algorithm !== algorithm);
  return { ...found, given, listed: { ...listed, claims: [...others, claim] } };
}

function refuseOther(known: string | undefined, given: GivenDigest, whose: string): void {
  if (known === undefined || known === given.value) return;
  throw new Fault(
    "corrupt",
    `The list gives the ${given.algorithm} ${given.value}, ${whose} ${known}: these are other bytes`,
  );
}

/** The fault for a file with other bytes than a list gives; null when it has these. */
export function otherBytes(uri: string, digests: Digests, given: GivenDigest): Fault | null {
  const { algorithm, value } = given;
  const actual = digests[algorithm];
  if (actual === value) return null;
  return new Fault(
    "corrupt",
    `${uri} has the ${algorithm} ${actual ?? "none"}, given is ${value}`,
    {
      subject: uri,
    },
  );
}
