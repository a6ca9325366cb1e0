{
  "target_defaults": {
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17"],
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-O2", "-fno-exceptions", "-fvisibility=hidden"],
    "defines": ["_FILE_OFFSET_BITS=64", "_GNU_SOURCE"]
  },
  "targets": [
    {
      "target_name": "refmount",
      "sources": ["addon.cc", "addon_files.cc",
                  "addon_hashes.cc", "addon_lanes.cc", "addon_plan.cc", "addon_values.cc",
                  "addon_session.cc", "protocol.cc", "negotiation.cc", "mapped_file.cc",
                  "tree.cc", "metadata.cc", "state.cc", "io_modes.cc", "blob_file.cc",
                  "blobs.cc", "parked.cc", "work_queue.cc", "session.cc",
                  "session_requests.cc", "session_reads.cc", "session_xattrs.cc",
                  "crc.cc", "sha256_pair.cc", "part_hasher.cc", "hasher.cc",
                  "hash_file.cc", "sink.cc", "source.cc", "source_hashes.cc", "md5_lanes.cc",
                  "files.cc",
                  "device.cc", "fusermount.cc", "seqpacket.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"],
      "libraries": ["-lpthread"]
    },
    {
      "target_name": "refmount-holder",
      "type": "executable",
      "sources": ["holder.cc", "holder_mounts.cc", "holder_options.cc", "holder_record.cc",
                  "holder_requests.cc", "holder_worker.cc",
                  "device.cc", "fusermount.cc", "seqpacket.cc"]
    }
  ]
}
