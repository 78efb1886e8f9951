// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli polynomial 0x1EDC6F41, as in iSCSI, RFC 3720): the checksum of blocks on disk.
// "123456789" -> 0xE3069283. The CRC of nothing is 0. Finds every error burst of up to 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace strata {

uint32_t crc32c(std::span<const std::byte> bytes);
// The CRC of a followed by b, where `crc` is that of a.
uint32_t crc32c_extend(uint32_t crc, std::span<const std::byte> b);
// The same from the CRCs of both parts and the length of b, in O(log length): parts can be summed by several
// threads.
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, int64_t b_bytes);

// The two ways of crc32c_extend, for tests; it takes the second where active_isa() is avx2 or better, which
// every machine with SSE4.2 and carry-less multiplication of the last ten years is.
uint32_t crc32c_extend_portable(uint32_t crc, std::span<const std::byte> bytes);
uint32_t crc32c_extend_sse42(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace strata
