// The command `carrel`. Exit status: 0 done, 1 failed, 2 wrong usage.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <system_error>

#include "apps/cli/cli.h"

namespace {

constexpr const char* kFooter =
    "A first run, with synthetic weights:\n"
    "  carrel zoo mobilenetv2 -o m.onnx\n"
    "  carrel keygen -o m.key\n"
    "  carrel seal m.onnx -o m.carrel --key m.key\n"
    "  carrel run m.carrel --key m.key --memory 4MiB --input photo.jpg\n"
    "\n"
    "SIZE is 16MiB, 512KiB, 1GiB or a count of bytes.\n"
    "Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage.";

// Standard error may be full or closed: then there is nobody to tell, and the exit status says it alone.
void tell(const std::string& text) { std::fputs(text.c_str(), stderr); }

// What was printed has arrived, or the command has failed.
int printed() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  throw std::system_error(errno, std::generic_category(), "standard output");
}

int wrong_usage(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "carrel";
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
  tell(fmt::format("carrel: {}\nTry '{} --help'.\n", error.what(), command));
  return 2;
}

// Messages quote names from files: every line is made harmless, and only ours end.
int failed(const std::string& message) {
  std::istringstream lines(message);
  std::string line, text;
  while (std::getline(lines, line)) text += carrel::cli::printable(line) + "\n";
  tell("carrel: " + text);
  return 1;
}

int run(int argc, char** argv) {
  CLI::App app("Runs ONNX networks in a few MiB of trusted memory, with encrypted weights.", "carrel");
  app.set_version_flag("--version", "carrel " CARREL_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  carrel::cli::add_zoo(app);
  carrel::cli::add_keygen(app);
  carrel::cli::add_quantize(app);
  carrel::cli::add_seal(app);
  carrel::cli::add_inspect(app);
  carrel::cli::add_verify(app);
  carrel::cli::add_plan(app);
  carrel::cli::add_run(app);
  carrel::cli::add_hwbench(app);
  carrel::cli::add_calibrate(app);
  carrel::cli::add_gramine_manifest(app);
  carrel::cli::add_bench(app);
  carrel::cli::add_he(app);
  const auto called = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(called).empty()) {
    tell(fmt::format("carrel: there is no command '{}'\nTry 'carrel --help'.\n", carrel::cli::printable(argv[1])));
    return 2;
  }
  try {
    app.parse(argc, argv);
    return printed();
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    return printed();
  } catch (const CLI::ParseError& error) {
    return wrong_usage(app, error);
  }
}

}  // namespace

int main(int argc, char** argv) {
  carrel::cli::handle_interrupts();
  try {
    return run(argc, argv);
  } catch (const carrel::cli::CommandError& error) {
    return failed(error.what());
  } catch (const std::bad_alloc&) {
    return failed("out of memory");
  } catch (const std::system_error& error) {
    // The reader of our output has had enough: no news to anyone.
    if (error.code() == std::errc::broken_pipe) return 1;
    return failed(error.what());
  } catch (const std::exception& error) {
    return failed(error.what());
  }
}
