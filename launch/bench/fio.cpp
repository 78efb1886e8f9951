// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/fio.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace strata {
namespace {

std::string output_of(const std::string& command) {
  std::string text;
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) return text;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  return pclose(pipe) == 0 ? text : "";
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace

std::string fio_version() {
  std::string text = output_of("fio --version 2>/dev/null");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string fio_command(const FioRequest& request) {
  std::string command = fmt::format(
      "fio --output-format=json --thread --ioengine={} --direct={} --bs={} --filename={} "
      "--allow_file_create=0 "
      "--iomem_align=4096 --overwrite=1 --fallocate=none --refill_buffers=0",
      request.engine, request.direct ? 1 : 0, request.block, quoted(request.file));
  if (request.engine == "io_uring") command += " --fixedbufs=1 --registerfiles=1";
  const auto job = [&](const char* rw, int64_t offset, int64_t bytes, int depth) {
    command +=
        fmt::format(" --name={0} --rw={0} --offset={1} --size={2} --iodepth={3}", rw, offset, bytes, depth);
  };
  const int64_t half = request.bytes / 2;
  switch (request.mode) {
    case DiskMode::read:
      job("read", request.offset, request.bytes, request.depth);
      break;
    case DiskMode::write:
      job("write", request.offset, request.bytes, request.depth);
      break;
    case DiskMode::half:
      job("read", request.offset, half, request.depth / 2);
      job("write", request.offset + half, half, request.depth / 2);
      break;
  }
  return command + " 2>/dev/null";
}

std::optional<DiskFlow> read_fio(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("jobs") || json["jobs"].empty()) return std::nullopt;
  double bytes = 0, runtime_ms = 0, cpu_s = 0;
  for (const auto& job : json["jobs"]) {
    if (job.value("error", 0) != 0) return std::nullopt;
    double job_ms = 0;
    for (const char* direction : {"read", "write"}) {
      bytes += job[direction].value("io_bytes", 0.0);
      job_ms = std::max(job_ms, job[direction].value("runtime", 0.0));
    }
    // Percent of the job's run time.
    cpu_s += 1e-2 * (job.value("usr_cpu", 0.0) + job.value("sys_cpu", 0.0)) * 1e-3 * job_ms;
    runtime_ms = std::max(runtime_ms, job_ms);
  }
  if (bytes <= 0 || runtime_ms <= 0) return std::nullopt;
  return DiskFlow{.gb_per_s = 1e-6 * bytes / runtime_ms, .cpu_s_per_gb = 1e9 * cpu_s / bytes};
}

std::optional<DiskFlow> run_fio(const FioRequest& request) {
  return read_fio(output_of(fio_command(request)));
}

}  // namespace strata
