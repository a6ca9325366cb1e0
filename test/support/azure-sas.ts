// Makes SAS tokens for tests, by the SDK.

import {
  BlobSASPermissions,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";

/** A token for a container, or for one blob of it, that is good for an hour. */
export function generateBlobSas(
  { account, key }: { readonly account: string; readonly key: string },
  {
    container,
    blob,
    permissions,
  }: { readonly container: string; readonly blob?: string; readonly permissions: string },
): string {
  return generateBlobSASQueryParameters(
    {
      containerName: container,
      ...(blob === undefined ? {} : { blobName: blob }),
      permissions:
        blob === undefined
          ? ContainerSASPermissions.parse(permissions)
          : BlobSASPermissions.parse(permissions),
      expiresOn: new Date(Date.now() + 3_600_000),
    },
    new StorageSharedKeyCredential(account, key),
  ).toString();
}
