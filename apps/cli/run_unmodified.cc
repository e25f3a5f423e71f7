#include "apps/cli/run_unmodified.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/cli/epc_report.h"
#include "apps/cli/latencies.h"
#include "apps/cli/outputs.h"
#include "apps/cli/progress.h"
#include "bench/paper/unmodified_runner.h"

namespace carrel::cli {
namespace {

struct Measured {
  Latencies latencies;
  EpcMeasured last;
};

std::vector<Tensor> infer(const UnmodifiedRequest& request, const std::vector<Tensor>& inputs, UnmodifiedRunner* runner,
                          Measured* measured) {
  Progress progress("running");
  std::vector<Tensor> outputs;
  for (uint32_t i = 0; i < request.repeat; ++i) {
    outputs = value_or_fail(runner->run(inputs, &measured->last), request.model);
    measured->latencies.add(measured->last.ms);
    progress(i + 1, request.repeat);
  }
  return outputs;
}

EpcReport report_of(const UnmodifiedRequest& request, UnmodifiedRunner* runner, const Measured& measured) {
  EpcReport report;
  report.profile = request.profile;
  report.memory_bytes = report.engine_bytes = request.memory_bytes;
  report.measured = measured.last;
  report.measured.ms = measured.latencies.median();
  report.delivery_us = value_or_fail(fault_delivery_us(detect_cpu()), "");
  report.traced = runner->trace() != nullptr;
  if (!report.traced) return report;
  report.summary = summarize_epc(runner->trace()->events(), runner->page_names());
  report.events_dropped = runner->trace()->dropped();
  ok_or_fail(write_epc_trace(request.trace, *runner->trace()), request.trace);
  return report;
}

constexpr const char* kGuarantee = "no protection: an engine to compare with, which holds the whole model in plain";

}  // namespace

void run_unmodified(const UnmodifiedRequest& request, const SecretKey& key) {
  UnmodifiedOptions options{request.model, request.memory_bytes, request.threads, detect_cpu(),
                            request.trace.empty() ? 0 : kEpcTraceEvents};
  std::unique_ptr<UnmodifiedRunner> runner;
  {
    const Progress progress("starting");
    runner = value_or_fail(UnmodifiedRunner::open(options, key), request.model);
  }
  const std::vector<Tensor> inputs = load_inputs(runner->engine().architecture(), request.input);
  std::vector<TensorInfo> infos;
  for (const auto& out : runner->engine().outputs()) infos.push_back({out.name, out.shape});
  check_array_file(request.output, infos.size());
  Measured measured;
  const std::vector<Tensor> outputs = infer(request, inputs, runner.get(), &measured);
  if (!request.output.empty()) write_tensors(request.output, infos, outputs);
  const bool simulated = request.memory_bytes != 0;
  EpcReport epc;
  if (simulated) epc = report_of(request, runner.get(), measured);
  const Latencies& ms = measured.latencies;
  if (request.json) {
    Json report = {{"model", runner->engine().architecture().name}, {"engine", "unmodified"}, {"platform", simulated ? "epcsim" : "inproc"},
                   {"guarantee", kGuarantee}, {"threads", request.threads}, {"needed_bytes", runner->engine().memory_bytes()},
                   {"start_ms", runner->start_ms()}};
    report.update(latencies_json(ms));
    if (simulated) report["epc"] = epc_json(epc);
    report["outputs"] = outputs_json(infos, outputs, 1, request.labels);
    return print_json(report);
  }
  fmt::print(stderr, "unmodified: {}\n", kGuarantee);
  print_outputs(infos, outputs, 1, request.labels);
  fmt::print("memory          {} needed\n", size_text(runner->engine().memory_bytes()));
  print_latencies(ms, runner->start_ms());
  if (simulated) print_epc(epc);
}

}  // namespace carrel::cli
