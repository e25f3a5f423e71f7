#include "apps/cli/cli.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "files/atomic_file.h"

namespace carrel::cli {
namespace {

constexpr int kInterrupts[] = {SIGINT, SIGTERM, SIGHUP};

uint64_t size_or_throw(const std::string& text, const std::string& option) {
  const Result<uint64_t> bytes = parse_bytes(text);
  if (!bytes.ok()) throw CLI::ValidationError(option, bytes.error().message());
  return *bytes;
}

// Only async-signal-safe calls.
void on_interrupt(int) {
  constexpr char kLine[] = "\ncarrel: interrupted\n";
  const char* line = isatty(STDERR_FILENO) != 0 ? kLine : kLine + 1;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, std::strlen(line));
  if (pending_output_path()[0] != '\0') unlink(pending_output_path());
  _exit(1);
}

}  // namespace

void fail(const std::string& message) { throw CommandError(message); }

void fail(const Error& error, const std::string& where) {
  fail(where.empty() ? error.message() : where + ": " + error.message());
}

CLI::Option* add_size(CLI::App* command, const std::string& name, uint64_t* bytes, const std::string& help) {
  return command
      ->add_option_function<std::string>(
          name, [bytes, name](const std::string& text) { *bytes = size_or_throw(text, name); }, help)
      ->type_name("SIZE");
}

CLI::Option* add_sizes(CLI::App* command, const std::string& name, std::vector<uint64_t>* bytes,
                       const std::string& help) {
  return command
      ->add_option_function<std::vector<std::string>>(
          name,
          [bytes, name](const std::vector<std::string>& texts) {
            bytes->clear();
            for (const std::string& text : texts) bytes->push_back(size_or_throw(text, name));
          },
          help)
      ->type_name("SIZE");
}

void add_example(CLI::App* command, const std::string& example) { command->footer("Example:\n  " + example); }

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string size_text(uint64_t bytes) {
  char buffer[32];
  return format_bytes(bytes, buffer);
}

std::string shape_text(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) text += (i == 0 ? "" : "x") + std::to_string(shape[i]);
  return text.empty() ? "scalar" : text;
}

std::string hex(const ModelId& id) {
  std::string text;
  for (uint8_t byte : id.bytes) text += fmt::format("{:02x}", byte);
  return text;
}

bool parse_model_id(const std::string& text, ModelId* id) {
  if (text.size() != 2 * sizeof(id->bytes)) return false;
  if (text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return false;
  for (size_t i = 0; i < sizeof(id->bytes); ++i) {
    id->bytes[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
  }
  return true;
}

IsaLevel parse_isa(const std::string& name) {
  if (name == "generic") return IsaLevel::kGeneric;
  if (name == "avx2") return IsaLevel::kAvx2;
  if (name == "avx512") return IsaLevel::kAvx512;
  return isa_level(detect_cpu());
}

void print_json(const Json& object) {
  // Names from files may be anything: bytes that are not UTF-8 are replaced.
  fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
}

void handle_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  for (int signal : kInterrupts) sigaction(signal, &action, nullptr);
  // A full disk, a file size limit and a closed pipe are errors to report, not deaths.
  action.sa_handler = SIG_IGN;
  for (int signal : {SIGPIPE, SIGXFSZ}) sigaction(signal, &action, nullptr);
}

Table::Table(std::vector<std::string> header, std::string alignment) : alignment_(std::move(alignment)) {
  add(std::move(header));
}

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(std::move(cell));
  rows_.push_back(std::move(row));
}

void Table::print() const {
  std::vector<size_t> widths(alignment_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      line += alignment_[c] == 'r' ? fmt::format("{:>{}}", row[c], widths[c]) : fmt::format("{:<{}}", row[c], widths[c]);
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

std::string check_file_name(const std::string& name) { return name.empty() ? "a file name is empty" : ""; }

}  // namespace carrel::cli
