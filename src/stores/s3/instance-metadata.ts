// The credentials of the role of an EC2 instance, from its metadata service, version 2 only. Written
// here because the SDK takes that service's address from the environment of its process.

import type { IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import type { AwsCredentialIdentity } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import { readKeys } from "./keys.js";

/** Where there is no such service, often nobody answers at all. */
const ANSWER_TIMEOUT_MS = 1_000;
const LONGEST_ANSWER_BYTES = 65_536;
const ROLES_PATH = "/latest/meta-data/iam/security-credentials/";

/**
 * The instance's credentials; null where this is no instance, or one without a role.
 * @throws Fault `unavailable` when the service answers, but not with what was asked for; `usage` for an
 * address that is none.
 */
export async function instanceCredentials(
  environment: Environment,
): Promise<AwsCredentialIdentity | null> {
  const endpoint = endpointOf(environment);
  const token = await ask(endpoint, "PUT", "/latest/api/token", {
    "x-aws-ec2-metadata-token-ttl-seconds": "21600",
  }).catch(() => null);
  // Nobody there, or somebody else.
  if (token?.status !== 200) return null;
  const headers = { "x-aws-ec2-metadata-token": token.text };
  const roles = await asked(endpoint, ROLES_PATH, headers);
  const [role = ""] = (roles ?? "").trim().split("\n");
  if (role === "") return null;
  const text = await asked(endpoint, ROLES_PATH + encodeURIComponent(role.trim()), headers);
  return text === null ? null : readKeys(text, "the instance's metadata");
}

/** False when the environment says that there is no such service. */
export function mayBeInstance(environment: Environment): boolean {
  const disabled = nonEmpty(environment["AWS_EC2_METADATA_DISABLED"]);
  return disabled === undefined || disabled.toLowerCase() === "false";
}

function endpointOf(environment: Environment): URL {
  const ipv6 = /^ipv6$/i.test(environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"] ?? "");
  const text =
    nonEmpty(environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"]) ??
    (ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:") {
    throw new Fault("usage", "AWS_EC2_METADATA_SERVICE_ENDPOINT must be an http:// address");
  }
  return url;
}

/** The text of an answer; null for 404. */
async function asked(
  endpoint: URL,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<string | null> {
  const answer = await ask(endpoint, "GET", path, headers);
  if (answer.status === 404) return null;
  if (answer.status === 200) return answer.text;
  throw new Fault(
    "unavailable",
    `The instance's metadata service answered ${answer.status} where credentials were asked for`,
  );
}

/** Never through a proxy: the service is the machine's own. */
function ask(
  endpoint: URL,
  method: "GET" | "PUT",
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const unanswered = (cause?: Error): void =>
      reject(new Fault("unavailable", `No answer from the instance's metadata service`, { cause }));
    const options = {
      method,
      headers,
      hostname: endpoint.hostname.replace(/^\[|\]$/g, ""),
      port: endpoint.port,
      path: endpoint.pathname.replace(/\/+$/, "") + path,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    };
    const client = httpRequest(options, (message: IncomingMessage) => {
      let text = "";
      message.setEncoding("utf8");
      message.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > LONGEST_ANSWER_BYTES) client.destroy();
      });
      message.on("error", unanswered);
      message.on("end", () => resolve({ status: message.statusCode ?? 0, text }));
    });
    client.on("error", unanswered);
    client.end();
  });
}
