import { expect, test } from "vitest";
import { isLoopback, isMetadata } from "../../src/stores/address.js";

test.each([
  ...["169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "[::ffff:a9fe:a9fe]"],
  ...["fe80::1", "fe80::1%eth0", "[febf::1]", "64:ff9b::a9fe:a9fe"],
  ...["fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"],
  ...["metadata.google.internal", "METADATA.google.internal.", "metadata.goog"],
])("%s is link-local or a metadata service", (host) => {
  expect(isMetadata(host)).toBe(true);
});

test.each([
  ...["169.253.1.1", "127.0.0.1", "10.0.0.1", "100.100.100.201", "fec0::1", "fd00::1", "::1"],
  ...["example.com", "metadata.example.com", "metadata", "169.254.169.254.example.com", ""],
])("%s is neither", (host) => {
  expect(isMetadata(host)).toBe(false);
});

test.each([...["127.0.0.1", "127.255.0.9", "0.0.0.0", "::1", "[::1]", "::", "::ffff:127.0.0.1"]])(
  "%s is this machine",
  (host) => {
    expect(isLoopback(host)).toBe(true);
  },
);

test.each(["128.0.0.1", "10.0.0.1", "::2", "fe80::1", "localhost", ""])(
  "%s is not this machine",
  (host) => {
    expect(isLoopback(host)).toBe(false);
  },
);
