// Which uris name Azure blobs, and their parts. Pure text: nothing is looked up.

/** True when `uri` names a blob or a container of Azure Blob Storage. */
export function isAzureUri(uri: string): boolean {
  return /^(az|abfss?|wasbs?):\/\//i.test(uri);
}
