// Text for a terminal: aligned columns, and names that cannot act on the terminal.

export type Align = "left" | "right";

/** Columns of `rows` under `headings`, two spaces between them; "" when there are no rows. */
export function table(
  headings: readonly string[],
  aligns: readonly Align[],
  rows: readonly (readonly string[])[],
): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) =>
    Math.max(...all.map((row) => widthOf(row[column] ?? ""))),
  );
  return all.map((row) => layOut(row, widths, aligns)).join("\n");
}

/** Lines of `label  value`, the values aligned; further lines of a value are indented alike. */
export function fields(rows: readonly (readonly [label: string, value: string])[]): string {
  const width = Math.max(0, ...rows.map(([label]) => widthOf(label)));
  const indent = " ".repeat(width + 2);
  return rows
    .map(
      ([label, value]) => `${pad(label, width, "left")}  ${value.replaceAll("\n", `\n${indent}`)}`,
    )
    .join("\n");
}

/**
 * `text` with control characters written out: names come from buckets, and one that holds an escape
 * sequence must not move the cursor.
 */
export function printable(text: string): string {
  return text.replace(
    // eslint-disable-next-line no-control-regex -- control characters are the point
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function layOut(
  row: readonly string[],
  widths: readonly number[],
  aligns: readonly Align[],
): string {
  return row
    .map((cell, column) => pad(cell, widths[column] ?? 0, aligns[column] ?? "left"))
    .join("  ")
    .trimEnd();
}

function pad(cell: string, width: number, align: Align): string {
  const space = " ".repeat(Math.max(0, width - widthOf(cell)));
  return align === "left" ? cell + space : space + cell;
}

function widthOf(cell: string): number {
  return Array.from(cell).length;
}
