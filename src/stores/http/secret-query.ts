// Which queries carry a credential: those of links signed by S3, GCS, Azure, CDNs and their like, and
// parameters that are named as tokens and keys are. A guess by names: what is called otherwise passes.

/** Words in the name of a parameter that is a credential whatever stands beside them. */
const SECRET_WORDS: ReadonlySet<string> = new Set([
  ...["signature", "sig", "sign", "hmac", "jwt", "token", "auth", "authorization", "sas"],
  ...["password", "passwd", "passphrase", "pwd", "secret", "credential", "credentials"],
  ...["apikey", "authkey", "accesskey", "secretkey", "hdnts", "hdnea"],
]);

/** The same, in names of two words. */
const SECRET_PAIRS = /(^| )(api|auth|access|secret|private|subscription|account) key( |$)/;

/** Parameters that only signed links have together. */
const SIGNED_TOGETHER: readonly (readonly [string, string])[] = [
  ["expires", "md5"],
  ["expires", "hash"],
  ["keypairid", "policy"],
];

/** Values that are tokens whatever their name: JSON web tokens, keys of Google, GitHub, Hugging Face. */
const SECRET_VALUE =
  /^(eyJ[\w-]+\.[\w-]+\.[\w-]*|AIza[\w-]{35}|gh[oprsu]_\w{36,}|github_pat_\w+|hf_\w{30,}|glpat-[\w-]{20,})$/;

/** What gives the credential in `query` away, without its value; undefined when there is none. */
export function secretIn(query: URLSearchParams): string | undefined {
  const names = new Set<string>();
  for (const [name, value] of query) {
    const words = wordsOf(name);
    const word = words.find((part) => SECRET_WORDS.has(part));
    if (word !== undefined) return word;
    const pair = SECRET_PAIRS.exec(words.join(" "))?.[0].trim();
    if (pair !== undefined) return pair;
    if (SECRET_VALUE.test(value)) return "a token";
    names.add(words.join(""));
  }
  const together = SIGNED_TOGETHER.find((pair) => pair.every((name) => names.has(name)));
  return together?.join(" and ");
}

/** `X-Amz-Signature`, `accessToken` and `api_key` in lower-case words. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
}
