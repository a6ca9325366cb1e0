// Keep-alive connections for one environment: its proxies, the authorities it trusts. Every request
// that a store makes, its SDK's included, goes through one of these agents. Sends nothing itself.

import { readFileSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { HttpProxyAgent } from "http-proxy-agent";
import { Fault } from "../model/fault.js";
import type { Environment } from "./store.js";
import { nonEmpty } from "./store.js";
import { ProxyTunnel } from "./tunnel.js";

const MAX_SOCKETS = 256;

/** Where a request goes: the parts of its URL that say so. */
export interface Destination {
  /** "http:" or "https:". */
  readonly protocol: string;
  readonly hostname: string;
  readonly port: number | undefined;
}

export interface Pool {
  /** The agent for requests to `destination`: direct, or through the proxy that the environment names. */
  agentFor(destination: Destination): HttpAgent;
  /** True when no proxy stands between: then the address connected to is the destination's. */
  isDirect(destination: Destination): boolean;
  /** Closes idle connections, and every other one when its transfer ends. */
  close(): void;
}

/**
 * @param authorities Variables that may name a file of certificates to trust besides the built-in
 * ones, the first that is set wins; SSL_CERT_FILE and NODE_EXTRA_CA_CERTS are always read.
 * @throws Fault `usage` for a proxy that is no http:// or https:// address, or a file of certificates
 * that cannot be read.
 */
export function openPool(environment: Environment, authorities: readonly string[] = []): Pool {
  const certificates = certificatesOf(environment, [
    ...authorities,
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
  ]);
  const plain = { keepAlive: true, maxSockets: MAX_SOCKETS, scheduling: "lifo" as const };
  const trust =
    certificates === undefined ? {} : { ca: [...rootCertificates, certificates.toString()] };
  const direct = {
    "http:": new HttpAgent(plain),
    "https:": new HttpsAgent({ ...plain, ...trust }),
  };
  // By the protocol of the request and the proxy's address.
  const proxied = new Map<string, HttpAgent>();
  const proxies = readProxies(environment);
  return {
    agentFor(destination) {
      const protocol = destination.protocol === "http:" ? "http:" : "https:";
      const proxy = proxies(destination);
      if (proxy === undefined) return direct[protocol];
      const key = `${protocol} ${proxy.href}`;
      let agent = proxied.get(key);
      if (agent === undefined) {
        agent =
          protocol === "http:"
            ? new HttpProxyAgent(proxy, plain)
            : new ProxyTunnel(proxy, plain, trust);
        proxied.set(key, agent);
      }
      return agent;
    },
    isDirect: (destination) => proxies(destination) === undefined,
    close() {
      for (const agent of [...Object.values(direct), ...proxied.values()]) retire(agent);
    },
  };
}

/** Closes idle connections now, and those in use when their transfer ends. */
function retire(agent: HttpAgent): void {
  // Looked at whenever a transfer ends: then its connection is not kept.
  (agent as HttpAgent & { keepAlive: boolean }).keepAlive = false;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}

/**
 * Which proxy a request takes, as curl reads the environment: `https_proxy`, `http_proxy` (lower case
 * first), else `all_proxy`, unless `no_proxy` names the host. Loopback addresses are always direct.
 */
function readProxies(environment: Environment): (to: Destination) => URL | undefined {
  const proxyFor = {
    "http:": parseProxy(environment, "http_proxy"),
    "https:": parseProxy(environment, "https_proxy"),
  };
  const exceptions = (variable(environment, "no_proxy") ?? "")
    .split(/[\s,]+/)
    .filter((pattern) => pattern !== "");
  return ({ protocol, hostname, port }) => {
    const proxy = proxyFor[protocol === "http:" ? "http:" : "https:"];
    if (proxy === undefined || isLoopback(hostname)) return undefined;
    const to = { hostname: bare(hostname), port: port ?? (protocol === "http:" ? 80 : 443) };
    return exceptions.some((pattern) => isException(pattern, to)) ? undefined : proxy;
  };
}

function parseProxy(environment: Environment, name: string): URL | undefined {
  const used = variable(environment, name) === undefined ? "all_proxy" : name;
  const text = variable(environment, used);
  if (text === undefined) return undefined;
  const withScheme = text.includes("://") ? text : `http://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  // The address may hold a password: it is not repeated.
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new Fault("usage", `${used} must name an http:// or https:// proxy`);
  }
  if (!isPercentEncoded(url.username) || !isPercentEncoded(url.password)) {
    throw new Fault("usage", `${used} must have its user and password percent-encoded (% as %25)`);
  }
  return url;
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function variable(environment: Environment, name: string): string | undefined {
  return nonEmpty(environment[name]) ?? nonEmpty(environment[name.toUpperCase()]);
}

function isException(
  pattern: string,
  { hostname, port }: { readonly hostname: string; readonly port: number },
): boolean {
  if (pattern === "*") return true;
  const [, rawHost = pattern, onlyPort] = /^(.*?)(?::(\d+))?$/.exec(pattern) ?? [];
  if (isIP(pattern) === 0 && onlyPort !== undefined && Number(onlyPort) !== port) return false;
  const name = (isIP(pattern) === 0 ? rawHost : pattern).replace(/^\*?\./, "").toLowerCase();
  const host = hostname.toLowerCase();
  return host === bare(name) || host.endsWith(`.${name}`);
}

function isLoopback(hostname: string): boolean {
  const host = bare(hostname);
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function certificatesOf(environment: Environment, names: readonly string[]): Buffer | undefined {
  for (const name of names) {
    const path = nonEmpty(environment[name]);
    if (path === undefined) continue;
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new Fault("usage", `Cannot read the certificates in ${path} (${name})`, { cause });
    }
  }
  return undefined;
}
