import { expect, test } from "vitest";
import { Progress } from "../../src/cli/progress.js";
import { fields, printable, table } from "../../src/cli/text.js";

test("columns are as wide as their widest cell, numbers on the right", () => {
  const text = table(
    ["NAME", "FILES"],
    ["left", "right"],
    [
      ["mnist", "70,000"],
      ["größe", "1"],
    ],
  );
  expect(text).toBe("NAME    FILES\nmnist  70,000\ngröße       1");
});

test("further lines of a value stand below its first", () => {
  expect(
    fields([
      ["digest", "abc"],
      ["sources", "one\ntwo"],
    ]),
  ).toBe("digest   abc\nsources  one\n         two");
});

test("a name cannot act on the terminal", () => {
  expect(printable("a\u001b[2Jb\nc\u202e")).toBe("a\\u001b[2Jb\\u000ac\\u202e");
  expect(printable("größe 日本 🙂")).toBe("größe 日本 🙂");
});

interface Screen {
  isTTY: boolean;
  columns: number;
  text: string;
  write(text: string): void;
}

function screen(isTTY: boolean): Screen {
  return {
    isTTY,
    columns: 20,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

test("a terminal has one live line, cut to its width and taken away at the end", () => {
  const stream = screen(true);
  let nowMs = 0;
  const progress = new Progress(stream, () => nowMs);
  nowMs = 1_000;
  progress.update(() => "a line that is longer than the terminal");
  nowMs = 1_050;
  progress.update(() => "too soon");
  progress.clear();
  progress.clear();
  expect(stream.text).toBe("\r\u001b[Ka line that is long\r\u001b[K");
});

test("elsewhere a line comes every few seconds, and none for what is quick", () => {
  const stream = screen(false);
  let nowMs = 0;
  const progress = new Progress(stream, () => nowMs);
  for (nowMs = 0; nowMs < 12_000; nowMs += 1_000) progress.update(() => `at ${nowMs}`);
  progress.clear();
  expect(stream.text).toBe("at 5000\nat 10000\n");
});

test("without a stream nothing is shown and no line is made", () => {
  let made = 0;
  const progress = new Progress(null, () => 1e9);
  progress.update(() => `${(made += 1)}`);
  progress.clear();
  expect(made).toBe(0);
});
