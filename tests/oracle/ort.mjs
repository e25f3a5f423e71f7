#!/usr/bin/env node
// Runs a model in ONNX Runtime on the CPU.
//
//   node ort.mjs MODEL.onnx IN.npz|IN.npy OUT.npz|OUT.npy [--threads N] [--repeat N] [--batch N] [--json]
//
// --batch N feeds at most N rows of dimension 0 at a time and concatenates the outputs. Latencies are of whole inputs.
//
//   node ort.mjs --serve
//
// reads one JSON command per line on stdin and answers each with one line on stdout, so that a benchmark can take
// turns with another engine:
//   {"cmd":"load","id":"a","model":PATH,"threads":1}  -> {"ok":true,"load_ms":..,"inputs":[{name,type,shape}],"outputs":[..]}
//   {"cmd":"run","id":"a","input":PATH,"output":PATH,"repeat":1}  -> {"ok":true,"ms":[..]}
//       input: kept for later runs; where none was ever given, ones. output, repeat: optional.
//   {"cmd":"unload","id":"a"} -> {"ok":true}       {"cmd":"quit"}
// An error answers {"ok":false,"error":TEXT} and leaves the rest as it was.
//
// All graph optimizations; intra-op threads as given, one inter-op thread.
import { createInterface } from 'node:readline';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import ort from 'onnxruntime-node';
import { readTensors, typedArrayOf, writeTensors } from './npy.mjs';

const describe = (list) =>
  list.map(({ name, type, shape }) => ({ name, type: type ?? 'float32', shape: shape ?? [] }));

export class Model {
  static async load(path, threads) {
    const begin = performance.now();
    const session = await ort.InferenceSession.create(path, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const model = new Model();
    model.session = session;
    model.inputs = describe(session.inputMetadata);
    model.outputs = describe(session.outputMetadata);
    model.loadMs = performance.now() - begin;
    return model;
  }

  // Tensors by name; a single nameless one belongs to a single input.
  feeds(tensors) {
    const feeds = {};
    for (const { name, type } of this.inputs) {
      const found = tensors.get(name) ?? (this.inputs.length === 1 ? tensors.get('') : undefined);
      if (!found) throw new Error(`no tensor for the model's input "${name}"`);
      feeds[name] = new ort.Tensor(type, convert(found, type), found.shape);
    }
    return feeds;
  }

  ones() {
    const tensors = new Map();
    for (const { name, type, shape } of this.inputs) {
      const dims = shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
      const data = new (typedArrayOf(type))(dims.reduce((a, b) => a * b, 1));
      tensors.set(name, { dtype: type, shape: dims, data: data.fill(type === 'int64' ? 1n : 1) });
    }
    return this.feeds(tensors);
  }

  // {ms, results: Map name -> tensor}
  async run(feeds) {
    const begin = performance.now();
    const results = await this.session.run(feeds);
    const ms = performance.now() - begin;
    const tensors = new Map();
    for (const { name } of this.outputs) {
      const { type, dims, data } = results[name];
      tensors.set(name, { dtype: type, shape: [...dims], data });
    }
    return { ms, results: tensors };
  }

  async runInBatches(feeds, batch) {
    const rows = Math.max(...Object.values(feeds).map((t) => t.dims[0] ?? 1));
    if (!batch || rows <= batch) return this.run(feeds);
    let ms = 0;
    const parts = [];
    for (let first = 0; first < rows; first += batch) {
      const slice = {};
      for (const [name, tensor] of Object.entries(feeds)) {
        slice[name] = rowsOf(tensor, first, Math.min(first + batch, rows));
      }
      const part = await this.run(slice);
      ms += part.ms;
      parts.push(part.results);
    }
    return { ms, results: stack(parts) };
  }
}

function convert({ dtype, data }, type) {
  if (dtype === type) return data;
  const TypedArray = typedArrayOf(type);
  if (type === 'int64') return BigInt64Array.from(data, (x) => BigInt(Math.trunc(Number(x))));
  return TypedArray.from(data, Number);
}

function rowsOf(tensor, first, last) {
  const row = tensor.data.length / tensor.dims[0];
  return new ort.Tensor(tensor.type, tensor.data.slice(first * row, last * row),
                        [last - first, ...tensor.dims.slice(1)]);
}

function stack(parts) {
  const result = new Map();
  for (const [name, { dtype, shape }] of parts[0]) {
    const pieces = parts.map((part) => part.get(name));
    const rows = pieces.reduce((sum, piece) => sum + piece.shape[0], 0);
    const data = new (typedArrayOf(dtype))(pieces.reduce((sum, piece) => sum + piece.data.length, 0));
    let at = 0;
    for (const piece of pieces) {
      data.set(piece.data, at);
      at += piece.data.length;
    }
    result.set(name, { dtype, shape: [rows, ...shape.slice(1)], data });
  }
  return result;
}

function summary(latencies) {
  const sorted = [...latencies].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { min: sorted[0], median, max: sorted.at(-1), runs: sorted.length };
}

function positive(text, name) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a positive integer`);
  return value;
}

async function once(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      threads: { type: 'string', default: '1' },
      repeat: { type: 'string', default: '1' },
      batch: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 3) throw new Error('usage: ort.mjs MODEL.onnx IN OUT [options]');
  const [path, input, output] = positionals;
  const threads = positive(values.threads, 'threads');
  const batch = values.batch && positive(values.batch, 'batch');
  const model = await Model.load(path, threads);
  const feeds = model.feeds(readTensors(input));
  const latencies = [];
  let results;
  for (let i = positive(values.repeat, 'repeat'); i > 0; --i) {
    const run = await model.runInBatches(feeds, batch);
    latencies.push(run.ms);
    results = run.results;
  }
  writeTensors(output, results);
  const latency = summary(latencies);
  if (values.json) {
    console.log(JSON.stringify({
      model: path, threads, load_ms: model.loadMs, latency_ms: latency,
      outputs: [...results].map(([name, { shape }]) => ({ name, shape })),
    }));
  } else {
    console.log(`${path}: median ${latency.median.toFixed(3)} ms, min ${latency.min.toFixed(3)}, ` +
                `max ${latency.max.toFixed(3)}, ${latency.runs} run(s), ${threads} thread(s)`);
  }
}

class Server {
  models = new Map();

  async answer(command) {
    if (command.cmd === 'load') return this.load(command);
    const entry = this.models.get(command.id);
    if (!entry) throw new Error(`no model "${command.id}" is loaded`);
    if (command.cmd === 'run') return this.run(entry, command);
    if (command.cmd !== 'unload') throw new Error(`unknown command "${command.cmd}"`);
    await entry.model.session.release();
    this.models.delete(command.id);
    return {};
  }

  async load({ id, model: path, threads = 1 }) {
    const model = await Model.load(path, positive(threads, 'threads'));
    this.models.set(id, { model, feeds: undefined });
    return { load_ms: model.loadMs, inputs: model.inputs, outputs: model.outputs };
  }

  async run(entry, { input, output, repeat = 1 }) {
    if (input) entry.feeds = entry.model.feeds(readTensors(input));
    entry.feeds ??= entry.model.ones();
    const latencies = [];
    let results;
    for (let i = positive(repeat, 'repeat'); i > 0; --i) {
      const run = await entry.model.run(entry.feeds);
      latencies.push(run.ms);
      results = run.results;
    }
    if (output) writeTensors(output, results);
    return { ms: latencies };
  }
}

async function serve() {
  const server = new Server();
  for await (const line of createInterface({ input: process.stdin })) {
    if (!line.trim()) continue;
    let reply;
    try {
      const command = JSON.parse(line);
      if (command.cmd === 'quit') return;
      reply = { ok: true, ...(await server.answer(command)) };
    } catch (error) {
      reply = { ok: false, error: String(error.message ?? error) };
    }
    process.stdout.write(JSON.stringify(reply) + '\n');
  }
}

const argv = process.argv.slice(2);
try {
  await (argv[0] === '--serve' ? serve() : once(argv));
} catch (error) {
  console.error(`ort.mjs: ${error.message ?? error}`);
  process.exitCode = 1;
}
