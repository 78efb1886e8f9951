// SPDX-License-Identifier: Apache-2.0
// The rules by which one range is moved in several attempts, on a table of what the kernel may answer.
#include "core/io/transfer.h"

#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using Direction = Transfer::Direction;
using State = Transfer::State;

struct Case {
  const char* name;
  Direction direction;
  int64_t bytes, block;
  std::vector<int64_t> results;
  State state;
  int64_t done;
  int code;
};

TEST(Transfer, TakesWhatTheKernelAnswers) {
  const Case cases[] = {
      {"whole", Direction::read, 100, 1, {100}, State::finished, 100, 0},
      {"in two", Direction::read, 100, 1, {1, 99}, State::finished, 100, 0},
      {"interrupted", Direction::write, 100, 1, {-EINTR, 60, -EAGAIN, 40}, State::finished, 100, 0},
      {"end of file at once", Direction::read, 100, 1, {0}, State::failed, 0, kEndOfFile},
      {"end of file inside", Direction::read, 100, 1, {60, 0}, State::failed, 60, kEndOfFile},
      {"nothing written", Direction::write, 100, 1, {60, 0}, State::failed, 60, EIO},
      {"error", Direction::write, 100, 1, {60, -ENOSPC}, State::failed, 60, ENOSPC},
      {"direct, short by blocks", Direction::read, 2048, 512, {512, 1536}, State::finished, 2048, 0},
      {"direct, file ends inside a block", Direction::read, 2048, 512, {700}, State::failed, 700, kEndOfFile},
      {"direct, write repeats a part of a block",
       Direction::write,
       2048,
       512,
       {700},
       State::unfinished,
       512,
       0},
      {"direct, repeated to its end", Direction::write, 2048, 512, {700, 1536}, State::finished, 2048, 0},
  };
  for (const Case& c : cases) {
    Transfer transfer(c.direction, c.bytes, c.block);
    State state = State::unfinished;
    for (const int64_t result : c.results) {
      ASSERT_EQ(state, State::unfinished) << c.name;
      ASSERT_EQ(transfer.next_bytes(), c.bytes - transfer.done()) << c.name;
      state = transfer.advance(result);
    }
    EXPECT_EQ(state, c.state) << c.name;
    EXPECT_EQ(transfer.done(), c.done) << c.name;
    EXPECT_EQ(transfer.code(), c.code) << c.name;
  }
}

TEST(Transfer, GivesUpWithoutProgress) {
  const std::pair<int64_t, int> answers[] = {{-EAGAIN, EAGAIN}, {-EINTR, EINTR}, {100, EIO}};
  for (const auto& [result, code] : answers) {
    Transfer transfer(Direction::write, 4096, 512);
    int attempts = 1;
    while (transfer.advance(result) == State::unfinished) ASSERT_LT(++attempts, 100'000);
    EXPECT_GE(attempts, 100);
    EXPECT_EQ(transfer.code(), code);
  }
}

TEST(Transfer, ProgressResetsThePatience) {
  Transfer transfer(Direction::read, 5000, 1);
  for (int i = 0; i < 4999; ++i) {
    ASSERT_EQ(transfer.advance(-EAGAIN), State::unfinished) << i;
    ASSERT_EQ(transfer.advance(1), State::unfinished) << i;
  }
  EXPECT_EQ(transfer.advance(1), State::finished);
}

TEST(Transfer, NeverAsksForMoreThanTheKernelMoves) {
  const int64_t bytes = (int64_t{3} << 30) + 512;
  Transfer transfer(Direction::write, bytes, 512);
  int attempts = 0;
  State state = State::unfinished;
  for (; state == State::unfinished; ++attempts) {
    ASSERT_LE(transfer.next_bytes(), 0x7ffff000);
    ASSERT_EQ(transfer.next_bytes() % 512, 0);
    state = transfer.advance(transfer.next_bytes());
  }
  EXPECT_EQ(state, State::finished);
  EXPECT_EQ(attempts, 4);
}

}  // namespace
}  // namespace strata
