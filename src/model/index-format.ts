// The layout of the inode index, for who writes it (registry) and who reads it (mount). native/tree.cc
// knows the same.

export const INDEX_MAGIC = "RFMIDX01";
export const INDEX_VERSION = 1;
export const HEADER_BYTES = 128;
export const HEADER_CRC_OFFSET = 12;
export const RECORD_BYTES = 48;
/** The bytes before it are what a record's CRC-32C covers first; then come its id and its name. */
export const RECORD_CRC_OFFSET = 44;
export const KIND_DIRECTORY = 1;
export const KIND_FILE = 2;
export const FLAG_SIZE_UNKNOWN = 1;
