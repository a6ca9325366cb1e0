import { expect, test } from "vitest";
import { errnoOf, exitCodeOf, Fault, isFaultKind, type FaultKind } from "../../src/model/fault.js";

const TABLE: readonly (readonly [kind: FaultKind, errno: number, exitCode: number])[] = [
  ["usage", 22, 2],
  ["not-found", 2, 3],
  ["denied", 13, 4],
  ["drifted", 116, 5],
  ["corrupt", 5, 6],
  ["unavailable", 5, 7],
  ["full", 28, 8],
  ["busy", 16, 9],
];

test.each(TABLE)("%s is errno %i for a reader and exit code %i", (kind, errno, exitCode) => {
  const fault = new Fault(kind, "message");
  expect([errnoOf(fault), exitCodeOf(fault), isFaultKind(kind)]).toEqual([errno, exitCode, true]);
});

test("anything else is a bug", () => {
  expect([errnoOf(new Error("x")), exitCodeOf("x"), isFaultKind("toString")]).toEqual([
    5,
    1,
    false,
  ]);
});

test("a fault crosses a socket without its cause", () => {
  const fault = new Fault("denied", "message", { subject: "s3://b/k", cause: new Error("secret") });
  const text = JSON.stringify(fault);
  expect(text).not.toContain("secret");
  expect(Fault.fromJSON(JSON.parse(text) as never)).toMatchObject({
    kind: "denied",
    message: "message",
    subject: "s3://b/k",
  });
});
