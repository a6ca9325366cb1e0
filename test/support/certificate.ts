// A certificate that nobody trusts unless told to.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  readonly key: Buffer;
  readonly cert: Buffer;
  /** The file that holds `cert`, for SSL_CERT_FILE. */
  readonly certPath: string;
}

/**
 * Makes one with openssl in the folder `dir`.
 * @param hosts Whom it is for, as openssl writes it.
 */
export function makeCertificate(
  dir: string,
  hosts: readonly string[] = ["IP:127.0.0.1", "DNS:localhost"],
): Certificate {
  const [keyPath, certPath] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
      ...["-addext", `subjectAltName=${hosts.join()}`],
      ...["-keyout", keyPath, "-out", certPath],
    ],
    { stdio: "ignore" },
  );
  return { key: readFileSync(keyPath), cert: readFileSync(certPath), certPath };
}
