// node --test
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { decodeNpy, encodeNpy, readTensors, writeTensors } from './npy.mjs';

const folder = mkdtempSync(join(tmpdir(), 'carrel-oracle-'));
test.after(() => rmSync(folder, { recursive: true }));

const tensors = new Map([
  ['a', { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, -2.5, 3, 0, 1e-30, NaN) }],
  ['b/c', { dtype: 'int64', shape: [2], data: BigInt64Array.of(-1n, 1n << 40n) }],
  ['scalar', { dtype: 'uint8', shape: [], data: Uint8Array.of(200) }],
]);

test('npz round trip', () => {
  const path = join(folder, 'x.npz');
  writeTensors(path, tensors);
  assert.deepEqual(readTensors(path), tensors);
});

test('a .npy header ends at a multiple of 64 and the data follows', () => {
  const bytes = encodeNpy(tensors.get('a'));
  assert.equal(bytes.length, 128 + 24);
  assert.equal(bytes[127], 10);
  assert.deepEqual(decodeNpy(bytes), tensors.get('a'));
});

test('truncated and foreign files are errors', () => {
  const bytes = encodeNpy(tensors.get('a'));
  assert.throws(() => decodeNpy(bytes.subarray(0, bytes.length - 1)), /truncated/);
  assert.throws(() => decodeNpy(Buffer.from('hello world')), /not a .npy/);
});

const model = join(process.env.CARREL_TEST_DATA ?? '', 'models/resnet8_cifar10.onnx');
test('batches give what the whole gives', { skip: !existsSync(model) && 'no CARREL_TEST_DATA' }, () => {
  const data = Float32Array.from({ length: 5 * 3 * 32 * 32 }, (_, i) => (i * 7919) % 256);
  const input = join(folder, 'in.npy');
  writeTensors(input, new Map([['x', { dtype: 'float32', shape: [5, 3, 32, 32], data }]]));
  const run = (name, ...options) => {
    const output = join(folder, name);
    execFileSync('node', ['ort.mjs', model, input, output, ...options], { cwd: import.meta.dirname });
    return [...readTensors(output).values()][0];
  };
  const whole = run('whole.npz');
  const parts = run('parts.npz', '--batch', '2', '--threads', '2');
  assert.deepEqual(parts.shape, whole.shape);
  parts.data.forEach((x, i) => assert.ok(Math.abs(x - whole.data[i]) < 1e-3));
});
