// A manifest for running carrel inside SGX with Gramine. NOT TESTED ON HARDWARE: no SGX was at hand; the text itself says so.
#include <fmt/core.h>

#include <bit>

#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "engine/format/program.h"
#include "files/atomic_file.h"

namespace carrel::cli {
namespace {

// Gramine itself, the C library, this program with its planner, and the network's description.
constexpr uint64_t kAroundTheEngine = uint64_t{256} << 20;
// Gramine's own helpers: inter-process, asynchronous events, TLS handshakes of pipes; and the main thread.
constexpr uint32_t kGramineThreads = 4;

struct Options {
  std::string model, output;
  uint64_t memory_bytes = 0;
  uint32_t threads = 1;
  bool edmm = false;
};

std::string toml_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) fail("the model's name holds a control character");
    quoted += c;
  }
  return quoted + "\"";
}

std::string manifest(const Options& options) {
  const uint64_t enclave_bytes = std::bit_ceil(options.memory_bytes + kAroundTheEngine);
  std::string text =
      "# carrel in SGX through Gramine 1.6 or later. Written by `carrel gramine-manifest`; NOT TESTED ON HARDWARE.\n"
      "#   gramine-manifest -Darch_libdir=/lib/x86_64-linux-gnu carrel.manifest.template > carrel.manifest\n"
      "#   gramine-sgx-sign --manifest carrel.manifest --output carrel.manifest.sgx\n";
  text += "#   gramine-sgx carrel\n";
  text +=
      "# The whole program runs in the enclave, so platform inproc has the enclave's wall. The sealed model stays outside: it is\n"
      "# encrypted, and every tile is authenticated after it was copied in. /keys is encrypted under a key that must be\n"
      "# provisioned after attestation (Gramine: secret provisioning); it holds the model's key, inputs and outputs.\n"
      "libos.entrypoint = \"/usr/bin/carrel\"\n"
      "loader.log_level = \"error\"\n"
      "loader.env.LD_LIBRARY_PATH = \"/lib:{{ arch_libdir }}:/usr{{ arch_libdir }}\"\n"
      "# Measured with the enclave: a host that chose the arguments could have the outputs written where it reads them.\n";
  text += fmt::format(
      "loader.argv = [\"carrel\", \"run\", \"/model/sealed.carrel\", \"--key\", \"/keys/model.key\", \"--platform\", \"inproc\",\n"
      "  \"--memory\", \"{}\", \"--threads\", \"{}\", \"--input\", \"/keys/input.npy\", \"-o\", \"/keys/output.npy\"]\n",
      options.memory_bytes, options.threads);
  text +=
      "\n"
      "fs.mounts = [\n"
      "  { path = \"/lib\", uri = \"file:{{ gramine.runtimedir() }}\" },\n"
      "  { path = \"{{ arch_libdir }}\", uri = \"file:{{ arch_libdir }}\" },\n"
      "  { path = \"/usr{{ arch_libdir }}\", uri = \"file:/usr{{ arch_libdir }}\" },\n"
      "  { path = \"/usr/bin/carrel\", uri = \"file:/usr/bin/carrel\" },\n";
  text += "  { path = \"/model/sealed.carrel\", uri = " + toml_text("file:" + options.model) + " },\n";
  text +=
      "  { type = \"encrypted\", path = \"/keys\", uri = \"file:keys\", key_name = \"default\" },\n"
      "]\n"
      "\n";
  text += fmt::format("sgx.enclave_size = \"{}M\"  # {} for the engine; a power of two\n", enclave_bytes >> 20,
                      size_text(options.memory_bytes));
  text += fmt::format("sgx.max_threads = {}\n", options.threads + kGramineThreads);
  text += fmt::format("sgx.edmm_enable = {}  # SGX version 2: pages when they are needed\n", options.edmm);
  text +=
      "sgx.remote_attestation = \"dcap\"\n"
      "sgx.trusted_files = [\n"
      "  \"file:{{ gramine.libos }}\",\n"
      "  \"file:{{ gramine.runtimedir() }}/\",\n"
      "  \"file:{{ arch_libdir }}/\",\n"
      "  \"file:/usr{{ arch_libdir }}/\",\n"
      "  \"file:/usr/bin/carrel\",\n"
      "]\n";
  text += "sgx.allowed_files = [" + toml_text("file:" + options.model) + "]\n";
  return text;
}

void run(const Options& options) {
  const uint64_t least = runtime_reserve_bytes(options.threads);
  if (options.memory_bytes <= least) fail(fmt::format("--memory: the engine alone needs {}", size_text(least)));
  check_outputs({options.output}, {options.model});
  const std::string text = manifest(options);
  if (options.output.empty()) {
    fmt::print("{}", text);
    return;
  }
  ok_or_fail(write_file(options.output, std::as_bytes(std::span(text))), options.output);
}

}  // namespace

void add_gramine_manifest(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("gramine-manifest", "Write a Gramine manifest for running in SGX (not tested on hardware)");
  command->add_option("MODEL", options->model, "sealed file, as the enclave's host names it")->required()->type_name("MODEL.carrel");
  add_size(command, "--memory", &options->memory_bytes, "the engine's budget, of the enclave")->required();
  command->add_option("--threads", options->threads)->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_flag("--edmm", options->edmm, "SGX version 2: let the enclave grow");
  command->add_option("-o,--output", options->output, "file to write [standard output]")->check(check_file_name)->type_name("FILE");
  add_example(command, "carrel gramine-manifest m.carrel --memory 32MiB -o carrel.manifest.template");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
