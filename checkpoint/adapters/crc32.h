// SPDX-License-Identifier: Apache-2.0
// CRC-32 as ZIP archives have it (polynomial 0xEDB88320 reflected, ISO 3309), and of joined pieces without
// reading them again. Our own files use CRC-32C (core/io/crc32c.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace strata {

uint32_t crc32(std::span<const std::byte> bytes);

// Of A followed by B, from that of A, that of B and B's length. Multiplication of polynomials modulo the
// generator: x^(8 * b_bytes) * A + B.
uint32_t crc32_combine(uint32_t crc_a, uint32_t crc_b, int64_t b_bytes);

}  // namespace strata
