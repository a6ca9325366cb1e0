// The parts of the holder that need no process: when to start again, and reading a record. Prints
// each check that fails; the exit code counts them.

#include <cstdio>
#include <string>

#include "../../native/holder_record.h"
#include "../../native/holder_worker.h"

using refmount::DirectoryOfRecord;
using refmount::RestartPolicy;

static int failures = 0;

#define CHECK(condition)                                     \
  do {                                                       \
    if (!(condition)) {                                      \
      failures++;                                            \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                        \
  } while (false)

static void DelaysDoubleFromAtOnceToFiveSeconds() {
  RestartPolicy policy;
  int64_t now_ms = 1'000'000;
  for (const int64_t expected_ms : {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
    policy.Started(now_ms);
    now_ms += 10;
    const int64_t delay_ms = policy.DelayAfterCrash(now_ms);
    CHECK(delay_ms == expected_ms);
    now_ms += delay_ms;
  }
}

static void TenSecondsOfLifeForgiveWhatWasBefore() {
  RestartPolicy policy;
  policy.Started(0);
  CHECK(policy.DelayAfterCrash(1) == 0);
  CHECK(policy.DelayAfterCrash(2) == 100);
  policy.Started(102);
  CHECK(policy.DelayAfterCrash(102 + 9'999) == 200);
  policy.Started(20'000);
  CHECK(policy.DelayAfterCrash(30'000) == 0);
  policy.Started(30'000);
  CHECK(policy.DelayAfterCrash(30'001) == 100);
}

static void MoreThanTenCrashesInAMinuteAreHopeless() {
  RestartPolicy policy;
  for (int crash = 0; crash < 10; crash++) policy.DelayAfterCrash(crash * 1'000);
  CHECK(!policy.Hopeless());
  policy.DelayAfterCrash(59'999);
  CHECK(policy.Hopeless());

  RestartPolicy slow;
  for (int crash = 0; crash < 100; crash++) slow.DelayAfterCrash(crash * 6'000);
  CHECK(!slow.Hopeless());
}

static void TheDirectoryIsFoundAtTheTopLevelOnly() {
  CHECK(DirectoryOfRecord(R"({"directory":"/a"})") == "/a");
  CHECK(DirectoryOfRecord(R"( { "ref" : "x" , "directory" : "/a b" } )") == "/a b");
  CHECK(DirectoryOfRecord(R"({"o":{"directory":"/in"},"l":["directory",":"],"directory":"/a"})") ==
        "/a");
  CHECK(DirectoryOfRecord(R"({"ref":"directory","directory":"/a"})") == "/a");
  CHECK(DirectoryOfRecord(R"({"ref":"\"directory\":\"/x\"","directory":"/a"})") == "/a");
  CHECK(DirectoryOfRecord(R"({"n":[{"directory":"/in"}]})").empty());
  CHECK(DirectoryOfRecord(R"(["directory","/a"])").empty());
  CHECK(DirectoryOfRecord(R"({"directory":7})").empty());
}

static void EscapesAreUndone() {
  CHECK(DirectoryOfRecord(R"({"directory":"/\"\\\/\t\n"})") == "/\"\\/\t\n");
  CHECK(DirectoryOfRecord(R"({"directory":"/\u00e9\u20ac\uD83d\ude00"})") ==
        "/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(DirectoryOfRecord(R"({"directory":"/\ud83d"})").empty());
  CHECK(DirectoryOfRecord(R"({"directory":"/\u12"})").empty());
  CHECK(DirectoryOfRecord(R"({"directory":"/\x"})").empty());
}

static void NoBytesDoHarm() {
  const std::string record = R"({"a":{"b":[1,"\u0041"]},"directory":"/a\ud83d\ude00"})";
  for (size_t size = 0; size < record.size(); size++) {
    // A copy of exact size, so that a read beyond it is seen.
    const std::string cut(record.data(), size);
    CHECK(DirectoryOfRecord(cut).empty() || size == record.size() - 1);
  }
  CHECK(DirectoryOfRecord(std::string("{\0\0\"directory", 14)).empty());
  CHECK(DirectoryOfRecord(std::string(100'000, '[')).empty());
  CHECK(DirectoryOfRecord(std::string(100'000, '}')).empty());
  CHECK(DirectoryOfRecord(std::string(100'000, '"')).empty());
}

int main() {
  DelaysDoubleFromAtOnceToFiveSeconds();
  TenSecondsOfLifeForgiveWhatWasBefore();
  MoreThanTenCrashesInAMinuteAreHopeless();
  TheDirectoryIsFoundAtTheTopLevelOnly();
  EscapesAreUndone();
  NoBytesDoHarm();
  return failures;
}
