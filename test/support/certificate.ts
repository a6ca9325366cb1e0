// A certificate for 127.0.0.1 that nobody trusts who is not told to.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate extends Disposable {
  readonly key: Buffer;
  readonly cert: Buffer;
  /** The certificate's file, for SSL_CERT_FILE. */
  readonly path: string;
}

export function makeCertificate(): Certificate {
  const dir = mkdtempSync(join(tmpdir(), "refmount-cert-"));
  const [keyPath, path] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", keyPath, "-out", path],
    ],
    { stdio: "ignore" },
  );
  return {
    key: readFileSync(keyPath),
    cert: readFileSync(path),
    path,
    [Symbol.dispose]() {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
