import type { Store } from "../store.js";

export function openGcsStore(): Store {
  throw new Error("being written");
}
