// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/call_faults.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string_view>

namespace strata::cuda_on_cpu {
namespace {

// Calls of the CUDA runtime that no state of the GPU makes fail.
bool always_answers(std::string_view function) {
  static const std::set<std::string_view> names{
      "cudaGetDeviceCount",    "cudaGetDevice",           "cudaGetDeviceProperties",
      "cudaDeviceGetPCIBusId", "cudaDeviceGetAttribute",  "cudaDriverGetVersion",
      "cudaRuntimeGetVersion", "cudaDeviceCanAccessPeer", "cudaDeviceGetStreamPriorityRange"};
  return names.contains(function) || !function.starts_with("cuda");
}

bool waits_or_asks(std::string_view function) {
  return function.ends_with("Synchronize") || function.ends_with("Query") || function == "cudaMemcpy";
}

class Calls {
 public:
  Calls() {
    const char* const plan = std::getenv("STRATA_CUDA_FAULT");
    if (plan && *plan) fault_ = parsed(plan);
    if (const char* const file = std::getenv("STRATA_CUDA_CALLS")) file_ = file;
  }

  void plan(std::optional<CallFault> fault) {
    const std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
    counts_.clear();
    came_ = false;
    broken_ = 0;
  }
  int come(const char* function) {
    const std::lock_guard lock(mutex_);
    const int64_t call = ++counts_[function];
    if (fault_ && !came_ && call == fault_->call && fault_->function == function) {
      came_ = true;
      if (fault_->kind == CallFault::Kind::sticky) broken_ = fault_->status;
      return fault_->kind == CallFault::Kind::later ? 0 : fault_->status;
    }
    if (came_ && fault_->kind == CallFault::Kind::later && waits_or_asks(function)) broken_ = fault_->status;
    return always_answers(function) ? 0 : broken_;
  }
  void hold(const char* kind, int change) {
    const std::lock_guard lock(mutex_);
    held_[kind] += change;
  }
  bool came() {
    const std::lock_guard lock(mutex_);
    return came_;
  }
  std::map<std::string, int64_t> counts() {
    const std::lock_guard lock(mutex_);
    return counts_;
  }
  std::map<std::string, int64_t> held() {
    const std::lock_guard lock(mutex_);
    return held_;
  }
  void write() {
    const std::lock_guard lock(mutex_);
    std::FILE* const out = file_.empty() ? nullptr : std::fopen(file_.c_str(), "w");
    if (!out) return;
    for (const auto& [function, calls] : counts_)
      std::fprintf(out, "%s %lld\n", function.c_str(), static_cast<long long>(calls));
    for (const auto& [kind, number] : held_)
      std::fprintf(out, "held: %s %lld\n", kind.c_str(), static_cast<long long>(number));
    std::fclose(out);
  }

 private:
  static CallFault parsed(std::string_view text) {
    const auto word = [&text] {
      const std::string_view first = text.substr(0, text.find(':'));
      text.remove_prefix(std::min(text.size(), first.size() + 1));
      return std::string(first);
    };
    CallFault fault{.function = word()};
    fault.call = std::atoll(word().c_str());
    fault.status = std::atoi(word().c_str());
    const std::string kind = word();
    if (kind == "sticky") fault.kind = CallFault::Kind::sticky;
    if (kind == "later") fault.kind = CallFault::Kind::later;
    return fault;
  }

  std::mutex mutex_;
  std::optional<CallFault> fault_;
  std::map<std::string, int64_t> counts_, held_;
  bool came_ = false;
  int broken_ = 0;  // what the CUDA runtime answers from now on
  std::string file_;
};
Calls* const all_calls = new Calls;  // before main(), and never destroyed: as all_addresses
// Destroyed late, after the program's own: what is held then was not given back.
struct AtEnd {
  ~AtEnd() { all_calls->write(); }
} at_end;

}  // namespace

void plan_call_fault(std::optional<CallFault> fault) { all_calls->plan(std::move(fault)); }
bool call_fault_came() { return all_calls->came(); }
std::map<std::string, int64_t> call_counts() { return all_calls->counts(); }
void count_held(const char* kind, int change) { all_calls->hold(kind, change); }
std::map<std::string, int64_t> held() { return all_calls->held(); }
int call_fault(const char* function) { return all_calls->come(function); }

}  // namespace strata::cuda_on_cpu
