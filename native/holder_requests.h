// What a client may ask of a holder, and the answers. One message is one request: a line with a
// verb and its arguments, and for adopt a record after it, which may be any bytes.
//
//   adopt ID CLONES STATE_BYTES\n<record>   with the device: keeps it, clones it, makes a state of
//                                           zeros; "ok CLONES_OPENED"
//   take ID                                 "ok <record>" with [state, device, clones...]
//   list                                    "ok ID ID ..."
//   drop ID                                 forgets the mount, closing its descriptors; "ok"
//   restart                                 start the worker anew once it has ended, however; "ok"
//   ping                                    "ok HOLDER_PID WORKER_PID", 0 while there is no worker
//
// Anything that fails is "error <message>" and changes nothing.

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "holder_mounts.h"
#include "seqpacket.h"

namespace refmount {

struct Answer {
  /// "ok ..." or "error ...".
  std::string text;
  /// Owned by the mounts.
  std::vector<int> fds;
};

struct HolderState {
  KeptMounts mounts;
  /// 0 while there is none.
  pid_t worker_pid = 0;
  /// A client asked for a new worker once this one has ended.
  bool restart = false;
};

Answer AnswerRequest(Message request, HolderState* state);

}  // namespace refmount
