// Sends an object's bytes, or a document, with the accidents that were asked for.

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { blocks, type Content } from "./content.js";
import type { ByteRange } from "./range.js";

/** What goes wrong with one answer. Offsets count from the first byte of the body. */
export interface Accident {
  /** Refuses the request. */
  readonly status?: number;
  readonly code?: string;
  /** Set or, with "", removed. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Resets the connection after this many bytes. */
  readonly resetAfterBytes?: number;
  /** Sends nothing more after this many bytes, and keeps the connection. */
  readonly stallAfterBytes?: number;
  /** Closes the connection in order, this many bytes before the promised end. */
  readonly shortByBytes?: number;
  /** Sends this many bytes more than there are, without Content-Length. */
  readonly longByBytes?: number;
  /** Flips a bit of this byte of the object. */
  readonly flipByteAt?: number;
  /** Answers a range with 200 and everything. */
  readonly ignoreRange?: boolean;
  /** Answers with the bytes of another version, but this one's headers. */
  readonly bytesOfVersion?: string;
  /** Answers with another version, headers included, as a server that ignores versionId does. */
  readonly answerWithVersion?: string;
  /** Sends no headers at all. */
  readonly silent?: boolean;
}

export interface Pace {
  /** Per answer; 0: as fast as it goes. */
  readonly bytesPerSecond: number;
}

const SLOW_PIECE_BYTES = 16_384;

export async function sendBody(
  response: ServerResponse,
  content: Content,
  range: ByteRange,
  accident: Accident,
  pace: Pace,
): Promise<void> {
  const stopAt = Math.min(
    accident.resetAfterBytes ?? Infinity,
    accident.stallAfterBytes ?? Infinity,
    range.end - range.start - (accident.shortByBytes ?? 0),
  );
  let sent = 0;
  const beginMs = performance.now();
  for (const block of pieces(content, range, pace)) {
    const bytes = flipped(block, range.start + sent, accident.flipByteAt).subarray(
      0,
      stopAt - sent,
    );
    if (bytes.length > 0 && !response.write(bytes)) await drained(response);
    sent += bytes.length;
    if (sent >= stopAt || response.destroyed) break;
    if (pace.bytesPerSecond > 0) {
      const dueMs = beginMs + (sent / pace.bytesPerSecond) * 1_000;
      if (dueMs > performance.now()) await delay(dueMs - performance.now());
    }
  }
  finish(response, accident);
}

/** Sends a listing or the like; of all accidents, only a reset can happen to it. */
export function sendDocument(
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  text: string,
  { resetAfterBytes }: Accident,
): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const bytes = Buffer.from(text);
  if (resetAfterBytes === undefined) {
    response.end(bytes);
    return;
  }
  response.setHeader("content-length", bytes.length);
  response.write(bytes.subarray(0, resetAfterBytes), () => endRudely(response.socket));
}

/** Resets a connection; one within TLS can only be cut. */
function endRudely(socket: Socket | null): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket?.resetAndDestroy();
}

/** A slow line carries small pieces, evenly. */
function* pieces(content: Content, range: ByteRange, pace: Pace): Generator<Uint8Array> {
  for (const block of blocks(content, range.start, range.end)) {
    const step = pace.bytesPerSecond > 0 ? SLOW_PIECE_BYTES : block.length;
    for (let at = 0; at < block.length; at += step) yield block.subarray(at, at + step);
  }
}

function finish(response: ServerResponse, accident: Accident): void {
  if (accident.stallAfterBytes !== undefined) return;
  if (accident.resetAfterBytes !== undefined) {
    // What was written goes out before the reset does.
    response.write("", () => endRudely(response.socket));
  } else if (accident.shortByBytes !== undefined) {
    response.write("", () => response.socket?.end());
  } else if (accident.longByBytes !== undefined) {
    response.end(Buffer.alloc(accident.longByBytes));
  } else {
    response.end();
  }
}

function flipped(block: Uint8Array, offset: number, flipByteAt: number | undefined): Uint8Array {
  if (flipByteAt === undefined) return block;
  const at = flipByteAt - offset;
  if (at < 0 || at >= block.length) return block;
  const copy = Uint8Array.from(block);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
