// A few threads that run short jobs in order. Used to answer parked requests away from the thread
// that brought the bytes.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace refmount {

class WorkQueue {
 public:
  /// A job gets `bufferBytes` of memory of its own thread.
  using Job = std::function<void(uint8_t* buffer)>;

  WorkQueue(size_t threads, size_t bufferBytes);
  ~WorkQueue() { Stop(); }
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  /// Ignored after Stop.
  void Add(Job job);
  /// Waits for the jobs that run and drops the others.
  void Stop();

 private:
  void Run(size_t bufferBytes);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace refmount
