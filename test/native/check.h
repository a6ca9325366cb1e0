// The few lines of test framework that the native tests need: a failed check names its line, and
// the process ends with 1.

#pragma once

#include <cstdio>

inline int failedChecks = 0;

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      failedChecks++;                                                      \
    }                                                                      \
  } while (false)

inline int CheckResult() { return failedChecks == 0 ? 0 : 1; }
