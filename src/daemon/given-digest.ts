// What becomes of the digest that a list gives for an object: recorded, or compared with what is known.

import type { Claim, DigestAlgorithm, Digests } from "../model/digest.js";
import { isCryptographic, type GivenDigest } from "../model/digest-text.js";
import { Fault } from "../model/fault.js";
import { addon } from "../native/addon.js";
import { openEntry, type LoggedFile } from "../stores/file-fetch.js";
import { retry } from "../stores/retry.js";
import { RETRY_TIMEOUT_MS } from "../stores/store.js";
import type { Found } from "./find.js";
import type { Hashed, LocalFile } from "./hash-file.js";

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
 * Checks a local file, of which `hashed` tells. An algorithm that no local file is hashed with
 * costs a second reading.
 * @throws Fault `corrupt` for other bytes than given; `drifted` when it changed, or went, since it was
 * hashed; `denied`; `unavailable` when its file system is away for a minute; the reason of the signal.
 */
export async function checkGiven(
  { uri }: Pick<LocalFile, "uri">,
  hashed: Hashed,
  given: GivenDigest,
  signal: AbortSignal,
): Promise<void> {
  const { algorithm, value } = given;
  let actual = hashed.digests[algorithm];
  if (actual === undefined) {
    const digests = await retry(
      () => digestsOf({ uri, sizeBytes: hashed.sizeBytes }, algorithm, signal),
      { timeoutMs: RETRY_TIMEOUT_MS, signal },
    );
    if (digests.sha256 !== hashed.digests.sha256) throw changed(uri);
    actual = digests[algorithm];
  }
  if (actual === value) return;
  throw new Fault("corrupt", `${uri} has the ${algorithm} ${actual ?? "none"}, given is ${value}`, {
    subject: uri,
  });
}

/** Reads a file on the lane of its file system, as the cache does. */
async function digestsOf(
  file: LoggedFile,
  algorithm: DigestAlgorithm,
  signal: AbortSignal,
): Promise<Digests> {
  try {
    await using opened = await openEntry(file, null, signal, RETRY_TIMEOUT_MS);
    const hasher = addon().openHasher({ algorithms: [algorithm] });
    for await (const bytes of opened.body) await hasher.append(bytes);
    await opened.confirm?.();
    return (await hasher.finish()).digests;
  } catch (error) {
    throw error instanceof Fault && error.kind === "drifted" ? changed(file.uri, error) : error;
  }
}

function changed(uri: string, cause?: Fault): Fault {
  return new Fault("drifted", `${uri} changed while it was being logged; log it again`, {
    subject: uri,
    cause,
  });
}
