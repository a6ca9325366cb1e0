#include "parked.h"

#include <algorithm>
#include <utility>

#include "wire.h"

namespace refmount {
namespace {

/// INTERRUPTs of requests that are not parked, mostly because they are answered already. One that
/// overtook its request is younger than this many others.
constexpr size_t kMaxEarlySignals = 1024;

uint64_t Plain(uint64_t unique) { return unique & ~wire::kResent; }

}  // namespace

ParkedRequests::Next ParkedRequests::Park(const Pending& request,
                                          const std::function<Found()>& look) {
  const std::lock_guard lock(mutex_);
  const uint64_t unique = Plain(request.unique);
  if (TakeEarlySignal(unique)) return Next::kInterrupted;
  Next next = Next::kParked;
  auto wait = waits_.find(request.node);
  if (wait == waits_.end()) {
    const Found found = look();
    if (found == Found::kEnough) return Next::kTryAgain;
    wait = waits_.try_emplace(request.node).first;
    wait->second.draining = found == Found::kBlobToPrepare;
    next = wait->second.draining ? Next::kDrain : Next::kAskForBlob;
  }
  wait->second.requests.push_back(request);
  nodeOfUnique_[unique] = request.node;
  return next;
}

bool ParkedRequests::BeginDrain(uint64_t node) {
  const std::lock_guard lock(mutex_);
  const auto wait = waits_.find(node);
  if (wait == waits_.end() || wait->second.draining) return false;
  wait->second.draining = true;
  return true;
}

bool ParkedRequests::HasOpen(uint64_t node) {
  const std::lock_guard lock(mutex_);
  const auto wait = waits_.find(node);
  return wait != waits_.end() && std::ranges::any_of(wait->second.requests, [](const Pending& one) {
           return one.kind == Pending::kOpen;
         });
}

ParkedRequests::Batch ParkedRequests::TakeBatch(uint64_t node, size_t limit, bool opensToo) {
  const std::lock_guard lock(mutex_);
  const auto wait = waits_.find(node);
  if (wait == waits_.end() || !wait->second.draining) return {{}, true};
  Batch batch{{}, false};
  std::vector<Pending> left;
  for (const Pending& one : wait->second.requests) {
    const bool take = batch.requests.size() < limit && (opensToo || one.kind != Pending::kOpen);
    (take ? batch.requests : left).push_back(one);
  }
  Forget(batch.requests);
  wait->second.requests = std::move(left);
  // Done only when nothing was taken either: a taken request may have to wait again.
  if (batch.requests.empty() && wait->second.requests.empty()) {
    waits_.erase(wait);
    batch.done = true;
  }
  return batch;
}

ParkedRequests::Setback ParkedRequests::WaitAgain(uint64_t node,
                                                  const std::vector<Pending>& unserved,
                                                  bool damaged) {
  const std::lock_guard lock(mutex_);
  Wait& wait = waits_[node];
  wait.draining = false;
  Setback setback;
  std::vector<Pending> waiting;
  for (const Pending& one : unserved) {
    // Between being taken and being set back it could not be found by its signal.
    (TakeEarlySignal(Plain(one.unique)) ? setback.interrupted : waiting).push_back(one);
  }
  wait.requests.insert(wait.requests.begin(), waiting.begin(), waiting.end());
  std::vector<Pending> left;
  for (Pending& one : wait.requests) {
    if (damaged) one.timesDamaged++;
    (one.timesDamaged >= 2 ? setback.hopeless : left).push_back(one);
  }
  Forget(setback.hopeless);
  for (const Pending& one : left) nodeOfUnique_[Plain(one.unique)] = node;
  wait.requests = std::move(left);
  setback.ask = !wait.requests.empty();
  if (!setback.ask) waits_.erase(node);
  return setback;
}

std::vector<Pending> ParkedRequests::TakeAll(uint64_t node) {
  const std::lock_guard lock(mutex_);
  const auto wait = waits_.find(node);
  if (wait == waits_.end()) return {};
  std::vector<Pending> taken = std::move(wait->second.requests);
  waits_.erase(wait);
  Forget(taken);
  return taken;
}

std::optional<Pending> ParkedRequests::Interrupt(uint64_t unique) {
  const std::lock_guard lock(mutex_);
  unique = Plain(unique);
  const auto found = nodeOfUnique_.find(unique);
  if (found == nodeOfUnique_.end()) {
    // A reads an OPEN; B reads its INTERRUPT before A has parked it.
    earlySignals_.push_back(unique);
    if (earlySignals_.size() > kMaxEarlySignals) earlySignals_.pop_front();
    return std::nullopt;
  }
  std::vector<Pending>& requests = waits_.at(found->second).requests;
  nodeOfUnique_.erase(found);
  const auto one = std::ranges::find_if(
      requests, [&](const Pending& pending) { return Plain(pending.unique) == unique; });
  const Pending pending = *one;
  requests.erase(one);
  return pending;
}

void ParkedRequests::Clear() {
  const std::lock_guard lock(mutex_);
  waits_.clear();
  nodeOfUnique_.clear();
}

size_t ParkedRequests::size() {
  const std::lock_guard lock(mutex_);
  return nodeOfUnique_.size();
}

bool ParkedRequests::TakeEarlySignal(uint64_t unique) {
  const auto early = std::find(earlySignals_.begin(), earlySignals_.end(), unique);
  if (early == earlySignals_.end()) return false;
  earlySignals_.erase(early);
  return true;
}

void ParkedRequests::Forget(const std::vector<Pending>& requests) {
  for (const Pending& one : requests) nodeOfUnique_.erase(Plain(one.unique));
}

}  // namespace refmount
