// Google's SDK, which knows how to ask for listings and metadata, on our connection: its own transport
// takes proxies and the emulator's address from the environment of this process, cannot be aborted, and
// has a deadline for the whole request instead of for progress.

import { Storage } from "@google-cloud/storage";
import { PassThroughClient } from "google-auth-library";
import type { Transfer } from "../transfer.js";
import type { GcsConnection } from "./connection.js";
import { strange } from "./failure.js";

/** No page of a thousand rows is this long. */
const LONGEST_ANSWER_BYTES = 67_108_864;

type MakeRequest = Storage["makeAuthenticatedRequest"];

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What the SDK asks its transport for. */
interface SdkRequest {
  readonly uri: string;
  readonly qs?: Query;
  readonly method?: string;
}

type SdkCallback = (error: Error | null, body?: unknown) => void;

/**
 * The SDK for what one caller asks of `bucket`.
 * @param subject Named in faults.
 */
export function sdkFor(
  connection: GcsConnection,
  bucket: string,
  subject: string,
  signal: AbortSignal,
): Storage {
  const storage = new Storage({
    apiEndpoint: connection.api.origin,
    // Never asked: it only keeps the SDK from looking for credentials itself.
    authClient: new PassThroughClient(),
    projectId: "refmount",
  });
  // STORAGE_EMULATOR_HOST of this process would win over what was given.
  storage.baseUrl = connection.api.href;
  const ask = async (request: SdkRequest): Promise<unknown> => {
    if ((request.method ?? "GET") !== "GET") throw new Error("a store only reads");
    const transfer = await connection.request(
      {
        bucket,
        path: request.uri.slice(connection.api.href.length),
        query: textsOf(request.qs ?? {}),
        headers: { accept: "application/json", "accept-encoding": "identity" },
        subject,
      },
      signal,
    );
    return readJson(transfer, subject);
  };
  const makeRequest = (request: SdkRequest, callback: SdkCallback): void => {
    ask(request).then(
      (body) => callback(null, body),
      (error: unknown) => callback(error as Error),
    );
  };
  storage.makeAuthenticatedRequest = makeRequest as unknown as MakeRequest;
  return storage;
}

function textsOf(query: Query): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(query)) {
    // An option of the SDK's own.
    if (name === "autoPaginate" || value === undefined) continue;
    texts[name] = String(value);
  }
  return texts;
}

/** @throws Fault `unavailable` for an answer that is no object and no listing. */
async function readJson(transfer: Transfer, subject: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for (let chunk = await transfer.read(); chunk !== null; chunk = await transfer.read()) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > LONGEST_ANSWER_BYTES) throw strange(subject);
    }
  } finally {
    transfer.close();
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw strange(subject, cause);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw strange(subject);
  const { items = [] } = body as { readonly items?: unknown };
  // The SDK would stumble over it where nobody can catch it.
  if (!Array.isArray(items)) throw strange(subject);
  return body;
}
