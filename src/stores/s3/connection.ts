// One environment's way to S3: credentials, the SDK's client (for listing), signed requests over a
// keep-alive pool (for bytes), and the region of each bucket as it is learnt. Knows no objects.

import type { S3Client } from "@aws-sdk/client-s3";
import type { SignatureV4 } from "@smithy/signature-v4";
import { Fault } from "../../model/fault.js";
import type { Environment, StoreOptions } from "../store.js";
import { CONNECT_TIMEOUT_MS, RETRY_TIMEOUT_MS, STALL_TIMEOUT_MS } from "../store.js";
import type { Transfer } from "../transfer.js";
import { send } from "../transfer.js";
import { formatS3Uri } from "../uri.js";
import type { Holder } from "./credential-chain.js";
import { credentialChain } from "./credential-chain.js";
import { openCredentials } from "./credentials.js";
import type { Asker, Refusal } from "./failure.js";
import {
  isDenied,
  isExpired,
  isWrongRegion,
  readRefusal,
  refusalOf,
  transientFault,
} from "./failure.js";
import { makeClient } from "./client.js";
import type { Origin } from "./origin.js";
import { resolveOrigin } from "./origin.js";
import { readSettings } from "./settings.js";
import type { ObjectRequest } from "./sign.js";
import { makeSigner, sign } from "./sign.js";
import { networkFault } from "../network-fault.js";
import { openPool } from "../pool.js";

export interface S3Connection {
  /** Sends one command through the SDK. @throws Refused; Fault `unavailable` or `denied`. */
  command<T>(command: BucketCommand<T>, signal: AbortSignal): Promise<T>;
  /** Sends a signed request for an object. @throws Refused; Fault `unavailable` or `denied`. */
  request(request: ObjectRequest, signal: AbortSignal): Promise<Transfer>;
  /** The region that requests for `bucket` are signed for now. */
  regionOf(bucket: string): string;
  /** How long a listing tries again while the store is unavailable. */
  readonly retryTimeoutMs: number;
  close(): void;
}

export interface BucketCommand<T> {
  readonly bucket: string;
  /** The right that it needs, for who is refused: `s3:ListBucket`. */
  readonly permission: string;
  /** @param payer What the request says of who pays. */
  readonly send: (client: S3Client, payer: Payer) => Promise<T>;
}

/** Part of a command's input. */
export interface Payer {
  readonly RequestPayer?: "requester";
}

/** What one request was sent with. */
interface Attempt {
  readonly bucket: string;
  readonly region: string;
  readonly holder: Holder;
  /** What was already done about earlier refusals of the same request. */
  readonly tried: ReadonlySet<string>;
}

/** Thrown for a request refused for good; translated by whoever knows what was asked. */
export class Refused extends Error {
  readonly refusal: Refusal;
  readonly asker: Asker;

  constructor(refusal: Refusal, asker: Asker) {
    super(`S3 refused: ${refusal.status} ${refusal.code}`);
    this.name = "Refused";
    this.refusal = refusal;
    this.asker = asker;
  }
}

function refused(
  refusal: Refusal,
  subject: string,
  { source, identity }: Holder,
  permission: string,
): Error {
  const asker = { source, unsigned: identity === null, permission };
  return transientFault(refusal, subject) ?? new Refused(refusal, asker);
}

/** Reads the environment; opens no connection yet. */
export async function connect(
  environment: Environment,
  options: StoreOptions,
): Promise<S3Connection> {
  const settings = await readSettings(environment);
  const limits = {
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    stallTimeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
  };
  const pool = openPool(environment, ["AWS_CA_BUNDLE"]);
  const credentials = openCredentials(credentialChain(environment, settings, pool));
  const { requesterPays } = settings;
  const payer: Payer = requesterPays ? { RequestPayer: "requester" } : {};
  const endpointName = settings.endpoint ?? "AWS S3";
  const regions = new Map<string, string>();
  const regionOf = (bucket: string): string => regions.get(bucket) ?? settings.region;
  const clients = new Map<string, S3Client>();
  const signers = new Map<string, SignatureV4>();
  const origins = new Map<string, Origin>();

  const clientFor = (region: string, { identity }: Holder): S3Client => {
    const unsigned = identity === null;
    return getOrMake(clients, `${region} ${unsigned}`, () =>
      makeClient(settings, region, { credentials, unsigned }, pool, limits),
    );
  };
  const signerFor = (region: string): SignatureV4 =>
    getOrMake(signers, region, () => makeSigner(region, credentials));
  const originOf = (bucket: string, holder: Holder): Origin =>
    getOrMake(origins, bucket, () =>
      resolveOrigin(clientFor(regionOf(bucket), holder), settings, bucket, regionOf(bucket)),
    );

  const begin = async (
    bucket: string,
    tried: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Attempt> => ({
    bucket,
    region: regionOf(bucket),
    holder: await credentials.get(signal),
    tried,
  });

  /**
   * Does what can be done about `refusal`, once each, and gives what was tried by now; null when
   * asking again makes no sense. Of many requests in flight each compares with what it was sent with,
   * since another may have learnt the same before.
   */
  const recover = (refusal: Refusal, attempt: Attempt): ReadonlySet<string> | null => {
    const { bucket, tried } = attempt;
    if (isWrongRegion(refusal) && !tried.has("region")) {
      if (refusal.region === undefined || refusal.region === attempt.region) return null;
      regions.set(bucket, refusal.region);
      origins.delete(bucket);
      return new Set([...tried, "region"]);
    }
    const expired = isExpired(refusal);
    if ((expired || isDenied(refusal)) && !tried.has("credentials")) {
      if (!credentials.renew(attempt.holder, expired ? "expired" : "refused")) return null;
      // A client keeps credentials of its own: a new one asks for new ones.
      clients.clear();
      return new Set([...tried, "credentials"]);
    }
    return null;
  };

  return {
    regionOf,
    retryTimeoutMs: options.retryTimeoutMs ?? RETRY_TIMEOUT_MS,
    async command({ bucket, permission, send: sendWith }, signal) {
      let tried: ReadonlySet<string> | null = new Set<string>();
      for (;;) {
        const attempt = await begin(bucket, tried, signal);
        try {
          return await sendWith(clientFor(attempt.region, attempt.holder), payer);
        } catch (error) {
          signal.throwIfAborted();
          const refusal = refusalOf(error);
          if (refusal === null) throw commandFault(error, `s3://${bucket}`, endpointName);
          tried = recover(refusal, attempt);
          if (tried === null) throw refused(refusal, `s3://${bucket}`, attempt.holder, permission);
        }
      }
    },
    async request(request, signal) {
      const subject = formatS3Uri(request.bucket, request.key);
      const permission = request.versionId === undefined ? "s3:GetObject" : "s3:GetObjectVersion";
      const paid = requesterPays
        ? { ...request, headers: { ...request.headers, "x-amz-request-payer": "requester" } }
        : request;
      let tried: ReadonlySet<string> | null = new Set<string>();
      for (;;) {
        const attempt = await begin(request.bucket, tried, signal);
        const origin = originOf(request.bucket, attempt.holder);
        const signer = attempt.holder.identity === null ? null : signerFor(origin.region);
        const signed = await sign(signer, paid, origin);
        const { protocol, hostname, port } = origin;
        const { method } = request;
        const transfer = await send(
          { method, protocol, hostname, port, ...signed, subject },
          pool,
          limits,
          signal,
        );
        if (transfer.status === 200 || transfer.status === 206) return transfer;
        const refusal = await readRefusal(transfer);
        tried = recover(refusal, attempt);
        if (tried === null) throw refused(refusal, subject, attempt.holder, permission);
      }
    },
    close() {
      pool.close();
    },
  };
}

/** An SDK error that is no answer of S3: the network's, a deadline, or an answer it cannot read. */
function commandFault(error: unknown, subject: string, endpoint: string): unknown {
  const fault = networkFault(error, subject, endpoint);
  if (fault instanceof Fault || !(error instanceof Error)) return fault;
  const unreadable = "$response" in error || "$metadata" in error;
  if (error.name !== "TimeoutError" && !unreadable) return error;
  const why = unreadable ? "the answer is not S3's" : "no answer in time";
  return new Fault("unavailable", `Cannot list ${subject} at ${endpoint}: ${why}`, {
    subject,
    cause: error,
  });
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
