// Which bytes of an object a request asks for, and the headers that tell which ones come.

/** Half open, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Null for a Range that is missing or of a kind that the doubles do not know: all is sent. */
export function parseRange(
  text: string | undefined,
  sizeBytes: number,
): ByteRange | null | "unsatisfiable" {
  const match = /^bytes=(\d+)-(\d*)$/.exec(text ?? "");
  if (match === null) return null;
  const start = Number(match[1]);
  const end = match[2] === "" ? sizeBytes : Math.min(sizeBytes, Number(match[2]) + 1);
  return start >= sizeBytes || end <= start ? "unsatisfiable" : { start, end };
}

/** The header of an answer with `asked`; none when that is null, the whole object. */
export function contentRange(asked: ByteRange | null, sizeBytes: number): Record<string, string> {
  if (asked === null) return {};
  return { "content-range": `bytes ${asked.start}-${asked.end - 1}/${sizeBytes}` };
}
