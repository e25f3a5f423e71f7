#pragma once
// What the commands share: registration, failure as one line, sizes and hex, tables.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/result.h"
#include "base/shape.h"
#include "engine/format/sealed_model.h"

namespace carrel::cli {

using Json = nlohmann::ordered_json;

// Ends the command: `carrel: MESSAGE` on stderr, exit status 1. Further lines may follow in the message.
struct CommandError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void fail(const std::string& message);
// `where: message`; messages of libraries do not name the file that they were given.
[[noreturn]] void fail(const Error& error, const std::string& where);

template <typename T>
T value_or_fail(Result<T> result, const std::string& where) {
  if (!result.ok()) fail(result.error(), where);
  return std::move(*result);
}
inline void ok_or_fail(const Status& status, const std::string& where) {
  if (!status.ok()) fail(status.error(), where);
}

// Each adds its subcommand, with help and an example, to `app`.
void add_zoo(CLI::App& app);
void add_keygen(CLI::App& app);
void add_quantize(CLI::App& app);
void add_seal(CLI::App& app);
void add_inspect(CLI::App& app);
void add_verify(CLI::App& app);
void add_plan(CLI::App& app);
void add_run(CLI::App& app);
void add_hwbench(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_gramine_manifest(CLI::App& app);
void add_bench(CLI::App& app);
void add_he(CLI::App& app);

// A SIZE option ("16MiB"); anything else is wrong usage.
CLI::Option* add_size(CLI::App* command, const std::string& name, uint64_t* bytes, const std::string& help);
CLI::Option* add_sizes(CLI::App* command, const std::string& name, std::vector<uint64_t>* bytes, const std::string& help);
void add_example(CLI::App* command, const std::string& example);

// Text from files may hold anything: what a terminal might obey becomes '?'.
std::string printable(std::string text);
std::string size_text(uint64_t bytes);  // "3.95 MiB"
std::string shape_text(const Shape& shape);  // "1x3x8x8"
std::string hex(const ModelId& id);
// 32 hexadecimal digits; false for anything else.
bool parse_model_id(const std::string& text, ModelId* id);
IsaLevel parse_isa(const std::string& name);  // "auto": this machine's

void print_json(const Json& object);

// Ctrl-C and SIGTERM: one line, temporary files removed, exit status 1. Child processes die with this one.
void handle_interrupts();

// Columns as wide as their widest cell; the aligned left or right.
class Table {
 public:
  // alignment: a letter per column; "lrr": left, right, right.
  Table(std::vector<std::string> header, std::string alignment);
  void add(std::vector<std::string> row);
  void print() const;

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

// For CLI::Option::check: what is wrong with `name` as a file to write, or nothing.
std::string check_file_name(const std::string& name);

}  // namespace carrel::cli
