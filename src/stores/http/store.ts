import type { Store } from "../store.js";

export function openHttpStore(): Store {
  throw new Error("being written");
}
