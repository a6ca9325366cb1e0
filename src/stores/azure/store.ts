import type { Store } from "../store.js";

export function openAzureStore(): Store {
  throw new Error("being written");
}
