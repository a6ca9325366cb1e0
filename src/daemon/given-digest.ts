// What becomes of the digest that a list gives for an object: recorded, or compared with what is known.

import type { Claim } from "../model/digest.js";
import { isCryptographic, type GivenDigest } from "../model/digest-text.js";
import { Fault } from "../model/fault.js";
import { addon } from "../native/addon.js";
import type { Found } from "./find.js";
import type { Hashed } from "./hash-file.js";

/**
 * `found` with the digest that a list gives. A cryptographic one says which bytes these must be; a
 * checksum is a claim like the store's own. Of a local file it is only compared, since its bytes are
 * read and hashed anyway.
 * @throws Fault `corrupt` when it contradicts what is known.
 */
export function withGiven(found: Found, given: GivenDigest): Found {
  const { algorithm, value } = given;
  const { listed } = found;
  refuseOther(found.digests[algorithm], given, "its entry has");
  for (const claim of listed.claims) {
    // Values of another length are no digests of the whole: those over parts end with their number.
    const isComparable = claim.algorithm === algorithm && claim.value?.length === value.length;
    if (isComparable) refuseOther(claim.value, given, "the store holds");
  }
  if (listed.localPath !== undefined) return { ...found, given };
  if (isCryptographic(algorithm)) {
    return { ...found, given, digests: { ...found.digests, [algorithm]: value } };
  }
  const claim: Claim = { algorithm, value, source: "checksum" };
  const others = listed.claims.filter((other) => other.value !== value);
  return { ...found, given, listed: { ...listed, claims: [...others, claim] } };
}

function refuseOther(known: string | undefined, given: GivenDigest, whose: string): void {
  if (known === undefined || known === given.value) return;
  throw new Fault(
    "corrupt",
    `The list gives the ${given.algorithm} ${given.value}, ${whose} ${known}: these are other bytes`,
  );
}

/**
 * Checks the file at `path`, of which `hashed` tells. An algorithm that no local file is hashed with
 * costs a second reading.
 * @throws Fault `corrupt` for other bytes than given; `drifted` when they changed since they were
 * hashed; an error with a `code` when the file cannot be read.
 */
export async function checkGiven(
  path: string,
  uri: string,
  hashed: Hashed,
  given: GivenDigest,
): Promise<void> {
  const { algorithm, value } = given;
  let actual = hashed.digests[algorithm];
  if (actual === undefined) {
    const { digests } = await addon().hashFile(path, { algorithms: [algorithm] });
    if (digests.sha256 !== hashed.digests.sha256) {
      throw new Fault("drifted", `${uri} changed while it was being logged; log it again`, {
        subject: uri,
      });
    }
    actual = digests[algorithm];
  }
  if (actual === value) return;
  throw new Fault("corrupt", `${uri} has the ${algorithm} ${actual ?? "none"}, given is ${value}`, {
    subject: uri,
  });
}
