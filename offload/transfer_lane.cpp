// SPDX-License-Identifier: Apache-2.0
#include "offload/transfer_lane.h"

#include "core/base/check.h"
#include "core/io/crc32c.h"

namespace strata {

TransferLane::TransferLane(std::unique_ptr<AsyncIo> io, const TransferLaneOptions& options, Describe describe,
                           Waiting waiting)
    : io_(std::move(io)), options_(options), describe_(std::move(describe)), waiting_(std::move(waiting)) {}

uint64_t TransferLane::open_ticket() {
  tickets_.emplace(next_ticket_, Ticket{});
  return next_ticket_++;
}

void TransferLane::begin(uint64_t ticket, const TileTransfer& transfer) {
  while (io_->in_flight() == io_->depth()) collect_one();
  const uint64_t token = next_token_++;
  transfers_.emplace(token, InFlight{transfer, ticket});
  ++tickets_.at(ticket).outstanding;
  submit(token);
}

void TransferLane::submit(uint64_t token) {
  InFlight& in_flight = transfers_.at(token);
  ++in_flight.attempts;
  const TileTransfer& transfer = in_flight.transfer;
  io_->submit({transfer.op, transfer.file, transfer.offset, transfer.memory, token});
}

void TransferLane::wait(uint64_t ticket) {
  const auto found = tickets_.find(ticket);
  check(found != tickets_.end(), "[transfer lane] there is no ticket {} to wait for", ticket);
  while (found->second.outstanding > 0) collect_one();
  const std::exception_ptr failure = found->second.failure;
  tickets_.erase(found);
  if (failure) std::rethrow_exception(failure);
}

void TransferLane::collect_one() { ended(next_completion()); }

IoCompletion TransferLane::next_completion() {
  std::chrono::milliseconds waited{0};
  for (;;) {
    if (auto completion = io_->wait_any(options_.told_after)) return *completion;
    waited += options_.told_after;
    const double seconds = std::chrono::duration<double>(options_.told_after).count();
    stalled_s_ += seconds;
    const InFlight& any = transfers_.begin()->second;
    if (waiting_) waiting_(any.transfer.file->path(), std::chrono::duration<double>(waited).count());
    if (waited < options_.given_up_after) continue;
    throw Error(
        Fault::environment,
        {.what = fmt::format(
             "a drive stopped answering: {} transfers, among them {}, have been waited for",
             transfers_.size(),
             any.transfer.op == IoRequest::Op::sync ? std::string("a sync") : describe_(any.transfer.tile)),
         .where = any.transfer.file->path(),
         .found = fmt::format("no answer for {} s", std::chrono::duration<double>(waited).count()),
         .fix =
             "look for disk errors in the kernel log (dmesg); a run that is started again goes on from the "
             "last committed step"});
  }
}

void TransferLane::ended(const IoCompletion& completion) {
  const auto found = transfers_.find(completion.request.token);
  const TileTransfer& transfer = found->second.transfer;
  std::exception_ptr failure;
  bool again = false;  // a failed sync never: the kernel may have dropped the data
  if (completion.code != 0) {
    failure = failure_of(transfer, completion);
    again = completion.code == EIO && transfer.op != IoRequest::Op::sync;
  } else if (transfer.op == IoRequest::Op::read) {
    const uint32_t crc = crc32c(transfer.memory);
    again = crc != transfer.crc;
    if (again) failure = damage(transfer, crc);
  }
  if (again && found->second.attempts < options_.attempts) {
    ++repeated_;
    return submit(found->first);
  }
  Ticket& ticket = tickets_.at(found->second.ticket);
  if (!ticket.failure) ticket.failure = failure;
  --ticket.outstanding;
  transfers_.erase(found);
}

std::exception_ptr TransferLane::failure_of(const TileTransfer& transfer,
                                            const IoCompletion& completion) const {
  if (transfer.op == IoRequest::Op::sync)
    return std::make_exception_ptr(
        IoError({.action = "make durable", .path = transfer.file->path(), .code = completion.code}));
  const bool reading = transfer.op == IoRequest::Op::read;
  return std::make_exception_ptr(
      IoError({.action = fmt::format("{} {} {}", reading ? "read" : "write", describe_(transfer.tile),
                                     reading ? "from" : "to"),
               .path = transfer.file->path(),
               .code = completion.code,
               .offset = transfer.offset,
               .bytes = std::ssize(transfer.memory),
               .done = completion.bytes,
               .direct = transfer.file->direct()}));
}

std::exception_ptr TransferLane::damage(const TileTransfer& transfer, uint32_t crc) const {
  return std::make_exception_ptr(Error(
      Fault::data,
      {.what = fmt::format("{} is damaged on disk: it is not what was written", describe_(transfer.tile)),
       .where = fmt::format("{}, {} bytes from offset {}", transfer.file->path(), transfer.memory.size(),
                            transfer.offset),
       .found = fmt::format("CRC-32C {:08x}", crc),
       .expected = fmt::format("{:08x}", transfer.crc),
       .fix =
           "do not trust this drive: go on from the last checkpoint with another folder in offload.paths"}));
}

void TransferLane::sync(std::span<File* const> files) {
  check(idle(), "[transfer lane] sync with {} tickets to be waited for", tickets_.size());
  const uint64_t ticket = open_ticket();
  for (File* file : files) begin(ticket, {.op = IoRequest::Op::sync, .file = file});
  wait(ticket);
}

}  // namespace strata
