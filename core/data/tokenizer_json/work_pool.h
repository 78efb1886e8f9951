// SPDX-License-Identifier: Apache-2.0
// Scratch that outlives a call: threads borrow one each and hand it back, so that what one call learnt (a
// cache of words) serves the next. What is computed must not depend on which one a thread gets.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

namespace strata {

template <typename Work>
class WorkPool {
 public:
  class Loan {
   public:
    explicit Loan(WorkPool& pool) : pool_(pool), work_(pool.take()) {}
    ~Loan() { pool_.give(std::move(work_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Work& operator*() const { return *work_; }

   private:
    WorkPool& pool_;
    std::unique_ptr<Work> work_;
  };

 private:
  std::unique_ptr<Work> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Work>();
    auto work = std::move(free_.back());
    free_.pop_back();
    return work;
  }
  void give(std::unique_ptr<Work> work) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(work));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Work>> free_;
};

}  // namespace strata
