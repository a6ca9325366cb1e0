// Gives access tokens on loopback as Microsoft Entra does (client credentials, over TLS) and as the
// identity endpoints of machines do: App Service, Azure Machine Learning, the metadata service.
//
// "OAuth 2.0 client credentials flow on the Microsoft identity platform" and "How to use managed
// identities ... to acquire an access token" (learn.microsoft.com/entra/identity).

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificate } from "./certificate.js";

const HEAD_FIRST_MS = 20;

/** One request for a token. */
export interface TokenRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** What was posted. */
  readonly form: URLSearchParams;
}

export class TokenServer implements AsyncDisposable {
  /** Requests for tokens, in order; what the SDK looks up before is left out. */
  readonly requests: TokenRequest[] = [];
  /** Called for each token that is given. */
  onToken: (token: string) => void = () => undefined;
  /** Refuses with this status and Entra's error document. */
  refusal: { readonly status: number; readonly code: string } | undefined;
  /** How long a token is good. */
  lifetimeSeconds = 3_600;
  readonly #server: Server;
  readonly #scheme: "http" | "https";

  private constructor(certificate: Certificate | undefined) {
    this.#scheme = certificate === undefined ? "http" : "https";
    const serve = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#serve(request, response);
    this.#server =
      certificate === undefined ? createServer(serve) : createTlsServer(certificate, serve);
  }

  static async start(certificate?: Certificate): Promise<TokenServer> {
    const server = new TokenServer(certificate);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get address(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.address);
    response.setHeader("content-type", "application/json");
    if (url.pathname.endsWith("/.well-known/openid-configuration")) {
      response.end(JSON.stringify(this.#configuration(url.pathname.split("/")[1] ?? "")));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests.push({
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      form: new URLSearchParams(Buffer.concat(chunks).toString()),
    });
    if (this.refusal !== undefined) {
      response.statusCode = this.refusal.status;
      response.end(
        JSON.stringify({
          error: "invalid_client",
          error_description: `${this.refusal.code}: Refused. Trace ID: 0`,
        }),
      );
      return;
    }
    const token = `token-${this.requests.length}-of-${(this.#server.address() as AddressInfo).port}`;
    this.onToken(token);
    // The head of an answer may come well before its body.
    await new Promise<void>((resolve) => {
      response.write(" ", () => setTimeout(resolve, HEAD_FIRST_MS));
    });
    response.end(
      JSON.stringify({
        token_type: "Bearer",
        access_token: token,
        expires_in: this.lifetimeSeconds,
        ...(request.method === "GET"
          ? { expires_on: String(Math.floor(Date.now() / 1_000) + this.lifetimeSeconds) }
          : {}),
      }),
    );
  }

  #configuration(tenant: string): Record<string, unknown> {
    const base = `${this.address}/${tenant}`;
    return {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      end_session_endpoint: `${base}/oauth2/v2.0/logout`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
    };
  }
}
