#include "work_queue.h"

#include <memory>
#include <utility>

namespace refmount {

WorkQueue::WorkQueue(size_t threads, size_t bufferBytes) {
  for (size_t i = 0; i < threads; i++) {
    threads_.emplace_back([this, bufferBytes] { Run(bufferBytes); });
  }
}

void WorkQueue::Add(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void WorkQueue::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkQueue::Run(size_t bufferBytes) {
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(bufferBytes);
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
      if (stopped_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(buffer.get());
  }
}

}  // namespace refmount
