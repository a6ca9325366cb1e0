// Which addresses no object may come from. Clouds keep a machine's credentials on link-local ones, so
// that a uri or a redirect could make them the bytes of a file. Pure: looks no name up.

import { BlockList, isIP } from "node:net";

const METADATA = listOf(
  [
    ["169.254.0.0", 16],
    // Alibaba Cloud, Azure's wire server, Oracle Cloud.
    ["100.100.100.200", 32],
    ["168.63.129.16", 32],
    ["192.0.0.192", 32],
  ],
  [
    ["fe80::", 10],
    // AWS, Google Cloud, and IPv4's link-local addresses behind a NAT64.
    ["fd00:ec2::254", 128],
    ["fd20:ce::254", 128],
    ["64:ff9b::a9fe:0", 112],
  ],
);

const LOOPBACK = listOf(
  [
    ["127.0.0.0", 8],
    ["0.0.0.0", 8],
  ],
  [["::", 127]],
);

/** Asked for by name alone where a proxy, and not this machine, finds the address. */
const METADATA_NAME =
  /^(metadata\.google\.internal|metadata\.goog|instance-data\.ec2\.internal)\.?$/i;

/** True for a link-local address, one of a cloud's metadata service, or that service's name. */
export function isMetadata(host: string): boolean {
  return METADATA_NAME.test(host) || isIn(METADATA, host);
}

/** True for an address of this machine itself. */
export function isLoopback(address: string): boolean {
  return isIn(LOOPBACK, address);
}

type Subnet = readonly [network: string, prefixBits: number];

function listOf(v4: readonly Subnet[], v6: readonly Subnet[]): BlockList {
  const list = new BlockList();
  for (const [network, bits] of v4) list.addSubnet(network, bits, "ipv4");
  for (const [network, bits] of v6) list.addSubnet(network, bits, "ipv6");
  return list;
}

function isIn(list: BlockList, address: string): boolean {
  // An address of a link may name its interface: fe80::1%eth0.
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  const family = isIP(bare);
  return family !== 0 && list.check(bare, family === 4 ? "ipv4" : "ipv6");
}
