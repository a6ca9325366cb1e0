// The SDK's client for listing one container, which asks and reads; signing and sending are the
// connection's.

import type { HttpOperationResponse, IHttpClient } from "@azure/storage-blob";
import { AnonymousCredential, ContainerClient, newPipeline } from "@azure/storage-blob";
import { Fault } from "../../model/fault.js";
import type { Transfer } from "../transfer.js";
import type { AzureConnection } from "./connection.js";
import type { AzurePlace } from "./uri.js";
import { formatAzureUri } from "./uri.js";

/** A page of 5,000 blobs with as much metadata as a blob may have. */
const LONGEST_PAGE_BYTES = 67_108_864;

export function listingClient(
  connection: AzureConnection,
  place: AzurePlace,
  signal: AbortSignal,
): ContainerClient {
  const httpClient: IHttpClient = {
    async sendRequest(request): Promise<HttpOperationResponse> {
      const query = Object.fromEntries(new URL(request.url).searchParams);
      const transfer = await connection.request(
        place,
        { method: "GET", blob: "", query, headers: {} },
        signal,
      );
      // The only way to headers of the SDK's own kind.
      const headers = request.headers.clone();
      for (const name of headers.headerNames()) headers.remove(name);
      for (const [name, value] of Object.entries(transfer.headers))
        headers.set(name, String(value));
      return {
        request,
        status: transfer.status,
        headers,
        bodyAsText: await pageText(transfer, formatAzureUri(place, "")),
      };
    },
  };
  // Retries are retry.ts's alone.
  const pipeline = newPipeline(new AnonymousCredential(), {
    httpClient,
    retryOptions: { maxTries: 1 },
  });
  return new ContainerClient(`${place.endpoint}/${place.container}`, pipeline);
}

async function pageText(transfer: Transfer, subject: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (let chunk = await transfer.read(); chunk !== null; chunk = await transfer.read()) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > LONGEST_PAGE_BYTES) {
      transfer.close();
      throw new Fault("unavailable", `A page of the listing of ${subject} does not end`, {
        subject,
      });
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}
