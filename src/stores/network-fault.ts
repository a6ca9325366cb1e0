// Translates what goes wrong below HTTP (names, connections, TLS) into faults. Knows no protocol.

import { Fault, type FaultOptions } from "../model/fault.js";

/** Codes of certificates that are not trusted, and of ports that do not speak TLS. */
const TLS_REFUSED =
  /^(CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|EPROTO$)/;

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  ECONNABORTED: "the connection was reset",
  EPIPE: "the connection was reset",
  ETIMEDOUT: "the connection timed out",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  EHOSTDOWN: "the host is down",
  ENETDOWN: "the network is down",
  ENETRESET: "the network is down",
  ENOBUFS: "the kernel has no memory left for a connection",
  EADDRNOTAVAIL: "no local port is free",
  ENOTFOUND: "the host's name is not known",
  EAI_NODATA: "the host's name has no address",
  EAI_AGAIN: "the host's name cannot be looked up now",
  EAI_FAIL: "the host's name cannot be looked up",
  EAI_MEMORY: "the host's name cannot be looked up for lack of memory",
};

/** What files answer, too, such as those that hold credentials: these count for `CONNECTING` alone. */
const NO_CONNECTION: Readonly<Record<string, string>> = {
  EMFILE: "this process has no file descriptor left (ulimit -n)",
  ENFILE: "this machine has no file descriptor left",
  EACCES: "this machine does not allow the connection; check its firewall",
  EPERM: "this machine does not allow the connection; check its firewall",
};
const CONNECTING: ReadonlySet<unknown> = new Set(["connect", "bind", "getaddrinfo"]);

/** The kinds of a proxy's faults, by the code that they bear. */
const PROXY_KINDS = {
  ERR_PROXY_DENIED: "denied",
  ERR_PROXY_UNAVAILABLE: "unavailable",
} as const;

/**
 * A proxy did not open the way to a host. SDKs put it in errors of their own, which keep nothing but
 * its message and its code: `networkFault` knows it by that.
 */
export class ProxyFault extends Fault {
  readonly code: keyof typeof PROXY_KINDS;

  constructor(kind: "denied" | "unavailable", message: string, options: FaultOptions = {}) {
    super(kind, message, options);
    this.code = kind === "denied" ? "ERR_PROXY_DENIED" : "ERR_PROXY_UNAVAILABLE";
  }
}

/**
 * The fault for a failed connection or transfer; anything unknown comes back as it is.
 * A certificate that is not trusted is `denied`: trying again does not make it trusted.
 */
export function networkFault(error: unknown, subject: string, endpoint: string): unknown {
  if (error instanceof Fault || !(error instanceof Error)) return error;
  const { code, syscall } = originOf(error);
  if (code === undefined) return error;
  if (isProxyCode(code)) {
    return new Fault(PROXY_KINDS[code], error.message, { subject, cause: error });
  }
  if (TLS_REFUSED.test(code)) {
    return new Fault(
      "denied",
      `No trusted TLS connection to ${endpoint} for ${subject} (${code}): check the endpoint's scheme, ` +
        "or name the authority's certificates in SSL_CERT_FILE (for S3 also AWS_CA_BUNDLE)",
      { subject, cause: error },
    );
  }
  const why =
    UNREACHABLE[code] ??
    (CONNECTING.has(syscall) ? NO_CONNECTION[code] : undefined) ??
    (code.startsWith("HPE_") ? "it does not speak HTTP" : undefined);
  if (why === undefined) return error;
  return new Fault("unavailable", `Cannot reach ${endpoint} for ${subject}: ${why}`, {
    subject,
    cause: error,
  });
}

/**
 * The same for an error that is known to have ended a request: one without a known code is worth a
 * retry as well. Only a mistake in a program comes back as it is.
 */
export function requestFault(error: unknown, subject: string, endpoint: string): unknown {
  const fault = networkFault(error, subject, endpoint);
  if (fault instanceof Fault || !(error instanceof Error) || isMistake(error)) return fault;
  const { code } = originOf(error);
  // Not its message, which may repeat what was sent.
  const why = code === undefined ? "the connection failed" : `the connection failed (${code})`;
  return new Fault("unavailable", `Cannot reach ${endpoint} for ${subject}: ${why}`, {
    subject,
    cause: error,
  });
}

/** True for what no network causes: JavaScript's own errors, Node's for wrong arguments, assertions. */
export function isMistake(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  const kinds = [TypeError, RangeError, ReferenceError, SyntaxError, URIError];
  return kinds.some((kind) => error instanceof kind) || originOf(error).code === "ERR_ASSERTION";
}

function isProxyCode(code: string): code is keyof typeof PROXY_KINDS {
  return Object.hasOwn(PROXY_KINDS, code);
}

/** The error with a code: this one or, where several addresses were tried, the first of its causes. */
function originOf(error: Error): NodeJS.ErrnoException {
  if (typeof (error as NodeJS.ErrnoException).code === "string") return error;
  if (error instanceof AggregateError) {
    const [first] = error.errors as unknown[];
    if (first instanceof Error) return originOf(first);
  }
  return error.cause instanceof Error ? originOf(error.cause) : new Error();
}
