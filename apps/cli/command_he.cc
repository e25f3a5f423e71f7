// Homomorphic inference: a server that computes on ciphertexts, a client that holds the key.
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "apps/cli/cli.h"
#include "apps/cli/he_setup.h"
#include "apps/cli/import.h"
#include "apps/cli/inputs.h"
#include "apps/cli/outputs.h"
#include "apps/cli/progress.h"
#include "he/client/session.h"
#include "he/server/session.h"

namespace carrel::cli {
namespace {

constexpr int64_t kCalibrationImages = 8;
// Measured on a 2.8 GHz AVX-512 server (bench/he): what predictions are made of.
constexpr double kMacsPerSecond = 75e9, kClientSeconds = 30e-6;

struct Options {
  std::string model, address, output;
  std::vector<std::string> dims;
  InputOptions input, calibrate;
  uint64_t batch = 2048;
  uint32_t modulus_bits = 0, threads = 1;
  bool json = false;
};

// The first images of each.
std::vector<Tensor> sample(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> out;
  for (const Tensor& t : inputs) {
    Shape shape = t.shape;
    const int64_t each = t.count() / std::max<int64_t>(1, shape[0]);
    shape[0] = std::min(shape[0], kCalibrationImages);
    out.push_back(Tensor::from_f32(shape, t.f32().first(static_cast<size_t>(each * shape[0]))));
  }
  return out;
}

// The network and its numbers; the batch's own first images calibrate where nothing else is given.
HeSetup prepare(const Options& options, const std::vector<Tensor>* batch) {
  const Graph graph = import_or_fail(options.model, parse_symbols(options.dims));
  const bool own = options.calibrate.paths.empty();
  const std::vector<Tensor> calibration = own ? sample(*batch) : load_inputs(graph, options.calibrate);
  const uint64_t images = batch != nullptr ? static_cast<uint64_t>((*batch)[0].shape[0]) : options.batch;
  return he_setup(options.model, graph, calibration, images, options.modulus_bits);
}

// A graph with nothing but inputs, for those who load them.
Graph inputs_of(const he::Network& network) {
  Graph graph;
  for (int i = 0;; ++i) {
    const auto found = std::find_if(network.tensors.begin(), network.tensors.end(), [i](const he::TensorInfo& t) { return t.input == i; });
    if (found == network.tensors.end()) return graph;
    Value value;
    value.name = found->name;
    value.shape = {1, found->shape.channels, found->shape.height, found->shape.width};
    value.shape_known = true;
    graph.inputs.push_back(graph.add_value(std::move(value)));
  }
}

Result<he::Batch> to_batch(const std::vector<Tensor>& inputs) {
  he::Batch batch;
  batch.images = static_cast<uint32_t>(inputs.empty() ? 0 : inputs[0].shape[0]);
  for (const Tensor& t : inputs) batch.inputs.push_back(t.f32());
  return batch;
}

he::ClientAnswer infer(const Options& options, const std::string& address, const std::function<Result<he::Batch>(const he::Network&)>& load) {
  he::Connection connection(value_or_fail(he::connect_to(address), address));
  Progress progress("inferring");
  return value_or_fail(he::infer_batch(load, {detect_cpu(), options.threads}, &connection, std::ref(progress)), address);
}

void give_answer(const Options& options, const he::ClientAnswer& answer, Json json) {
  std::vector<TensorInfo> infos;
  std::vector<Tensor> outputs;
  const int64_t images = static_cast<int64_t>(answer.outputs[0].size()) / answer.shapes[0].count();
  for (size_t i = 0; i < answer.names.size(); ++i) {
    Shape shape = answer.shapes[i];
    shape[0] *= images;
    infos.push_back({answer.names[i], shape});
    outputs.push_back(Tensor::from_f32(shape, answer.outputs[i]));
  }
  if (!options.output.empty()) write_tensors(options.output, infos, outputs);
  json.update({{"images", images}, {"ciphertexts", answer.ciphertexts}, {"seconds", answer.seconds}});
  if (options.json) {
    json["outputs"] = outputs_json(infos, outputs, images, {});
    return print_json(json);
  }
  if (options.output.empty()) print_outputs(infos, outputs, images, {});
  fmt::print("{} images in {:.2f} s, {} ciphertexts decrypted\n", images, answer.seconds, answer.ciphertexts);
}

void run_serve(const Options& options) {
  const HeSetup setup = prepare(options, nullptr);
  const he::Descriptor listener = value_or_fail(he::listen_on(options.address), options.address);
  fmt::print("listening on {}, batches of up to {} images\n", value_or_fail(he::address_of(listener), options.address), setup.scaling.ring.degree);
  std::fflush(stdout);
  for (;;) {
    he::Connection connection(value_or_fail(he::accept_one(listener, -1), options.address));
    const auto report = he::serve_batch(setup.network, setup.scaling, {detect_cpu(), options.threads}, &connection, [](uint64_t, uint64_t) {});
    // One client's failure is not the server's.
    if (report.ok()) fmt::print("a batch in {:.2f} s\n", report->seconds);
    else fmt::print(stderr, "carrel: a client's batch failed: {}\n", printable(report.error().message()));
    std::fflush(stdout);
  }
}

void run_infer(const Options& options) {
  check_array_file(options.output, 1);
  std::vector<Tensor> inputs;
  const he::ClientAnswer answer = infer(options, options.address, [&](const he::Network& network) {
    inputs = load_inputs(inputs_of(network), options.input);
    return to_batch(inputs);
  });
  give_answer(options, answer, {{"server", options.address}});
}

// The server as a child, to try things out: it has no key, which is made after the fork, but the memory of its parent at that moment, inputs
// included. `serve` and `infer` are what protects them. What the child reports comes through a pipe.
struct ServerProcess {
  pid_t child = -1;
  int report = -1;

  ServerProcess(const Options& options, const HeSetup& setup, he::Descriptor* listener) {
    int ends[2];
    if (pipe(ends) != 0) fail("a pipe cannot be made");
    std::fflush(stdout);
    child = fork();
    if (child < 0) fail("a server process cannot be started");
    if (child > 0) {
      close(ends[1]);
      report = ends[0];
      return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto socket = he::accept_one(*listener, he::kPatienceSeconds);
    if (!socket.ok()) _exit(1);
    he::Connection connection(std::move(*socket));
    const auto done = he::serve_batch(setup.network, setup.scaling, {detect_cpu(), options.threads}, &connection, [](uint64_t, uint64_t) {});
    const bool told = done.ok() && write(ends[1], &*done, sizeof *done) == sizeof *done;
    _exit(told ? 0 : 1);
  }
  ~ServerProcess() {
    close(report);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  he::ServerReport wait() {
    he::ServerReport answer;
    if (read(report, &answer, sizeof answer) != sizeof answer) fail("the server process ended early");
    return answer;
  }
};

void run_both(const Options& options) {
  const Graph shapes = import_or_fail(options.model, parse_symbols(options.dims));
  const std::vector<Tensor> inputs = load_inputs(shapes, options.input);
  check_array_file(options.output, shapes.outputs.size());
  const HeSetup setup = prepare(options, &inputs);
  he::Descriptor listener = value_or_fail(he::listen_on("127.0.0.1:0"), "127.0.0.1");
  const std::string address = value_or_fail(he::address_of(listener), "127.0.0.1");
  ServerProcess server(options, setup, &listener);
  const he::ClientAnswer answer = infer(options, address, [&](const he::Network&) { return to_batch(inputs); });
  const he::ServerReport report = server.wait();
  const double rate = static_cast<double>(report.residue_macs) / report.seconds;
  give_answer(options, answer, {{"model", setup.network.name}, {"degree", setup.scaling.ring.degree}, {"modulus_bits", setup.scaling.ring.modulus_bits},
                                {"server_bytes", report.stored_bytes}, {"residue_macs", report.residue_macs}, {"residue_macs_per_second", rate}});
}

void run_plan(const Options& options) {
  const HeSetup setup = prepare(options, nullptr);
  Table table({"layer", "gives", "client", "ciphertexts", "GMAC", "margin", "error"}, "lllrrrr");
  uint64_t ciphertexts = 0;
  double macs = 0;
  Json layers = Json::array();
  for (size_t l = 0; l < setup.network.layers.size(); ++l) {
    const he::Layer& layer = setup.network.layers[l];
    const he::LayerScales& scales = setup.scaling.layers[l];
    const double mine = static_cast<double>(layer.out.count()) * static_cast<double>(layer.weights.size() / layer.out.channels);
    const std::string client = layer.ops.empty() ? (layer.target >= 0 ? "refresh" : "output") : fmt::format("{} operations", layer.ops.size());
    ciphertexts += layer.out.count();
    macs += mine;
    table.add({layer.name, fmt::format("{}x{}x{}", layer.out.channels, layer.out.height, layer.out.width), client,
               std::to_string(layer.out.count()), fmt::format("{:.3f}", mine / 1e9), fmt::format("{:.1f} bits", scales.margin_bits),
               fmt::format("{:.3f} %", 100 * relative_error(setup, l))});
    layers.push_back({{"name", layer.name}, {"ciphertexts", layer.out.count()}, {"macs", mine}, {"margin_bits", scales.margin_bits},
                      {"relative_error", relative_error(setup, l)}, {"noise", scales.noise}});
  }
  const double residue_macs = 2 * macs * setup.scaling.ring.degree;
  const double seconds = (residue_macs / kMacsPerSecond + static_cast<double>(ciphertexts) * kClientSeconds * setup.scaling.ring.degree / 2048) / options.threads;
  if (options.json) {
    return print_json({{"model", setup.network.name}, {"degree", setup.scaling.ring.degree}, {"modulus_bits", setup.scaling.ring.modulus_bits},
                       {"security_bits", 128}, {"ciphertexts", ciphertexts}, {"residue_macs", residue_macs}, {"predicted_seconds", seconds}, {"layers", layers}});
  }
  table.print();
  fmt::print("\ndegree {}, modulus 2^{}: 128-bit security; {} ciphertexts, {:.1f} G residue multiply-adds; arithmetic of about {:.1f} s on {} threads\n",
             setup.scaling.ring.degree, setup.scaling.ring.modulus_bits, ciphertexts, residue_macs / 1e9, seconds, options.threads);
}

void add_threads(CLI::App* command, Options* options) {
  command->add_option("--threads", options->threads)->check(CLI::Range(1u, 64u))->capture_default_str();
}

void add_model(CLI::App* command, Options* options, bool calibration_required) {
  command->add_option("model", options->model, "ONNX file")->required()->type_name("MODEL.onnx")->check(CLI::ExistingFile);
  CLI::Option* calibrate = command->add_option("--calibrate", options->calibrate.paths, "inputs like those of use, for ranges of values");
  calibrate->type_name("FILE ...");
  if (calibration_required) calibrate->required();
  command->add_option("--modulus", options->modulus_bits, "bits: 32 or 52 [as accuracy needs]")->check(CLI::IsMember(std::vector<uint32_t>{32, 52}));
  command->add_option("--dim", options->dims, "value of a symbolic dimension")->type_name("NAME=VALUE ...");
}

void add_batch(CLI::App* command, Options* options) {
  command->add_option("--batch", options->batch, "images at once, at most")->check(CLI::Range(1u, he::kMostDegree))->capture_default_str();
}

void add_answer(CLI::App* command, Options* options) {
  add_input_options(command, &options->input);
  command->add_option("-o,--output", options->output, "write the answers")->type_name("Y.npy|Y.npz")->check(check_file_name);
  command->add_flag("--json", options->json, "print one JSON object");
}

}  // namespace

void add_he(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* he = app.add_subcommand("he", "Homomorphic inference: the server computes on ciphertexts and sees no input");
  he->require_subcommand(1);
  CLI::App* plan = he->add_subcommand("plan", "Parameters, margins and work of each layer");
  add_model(plan, options.get(), true);
  add_batch(plan, options.get());
  add_threads(plan, options.get());
  plan->add_flag("--json", options->json, "print one JSON object");
  add_example(plan, "carrel he plan resnet8.onnx --calibrate sample.npy");
  plan->callback([options] { run_plan(*options); });

  CLI::App* serve = he->add_subcommand("serve", "Compute on clients' ciphertexts, one batch after the other, until interrupted");
  add_model(serve, options.get(), true);
  serve->add_option("--listen", options->address, "HOST:PORT")->required();
  add_batch(serve, options.get());
  add_threads(serve, options.get());
  add_example(serve, "carrel he serve resnet8.onnx --calibrate sample.npy --listen 127.0.0.1:4711");
  serve->callback([options] { run_serve(*options); });

  CLI::App* client = he->add_subcommand("infer", "Send an encrypted batch through a server");
  client->add_option("--server", options->address, "HOST:PORT")->required();
  add_answer(client, options.get());
  add_threads(client, options.get());
  add_example(client, "carrel he infer --server 127.0.0.1:4711 --input batch.npy -o logits.npy");
  client->callback([options] { run_infer(*options); });

  CLI::App* both = he->add_subcommand("run", "Server and client as two processes on this machine");
  add_model(both, options.get(), false);
  add_answer(both, options.get());
  add_threads(both, options.get());
  add_example(both, "carrel he run resnet8.onnx --input batch.npy -o logits.npy --threads 2");
  both->callback([options] { run_both(*options); });
}

}  // namespace carrel::cli
