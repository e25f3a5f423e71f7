// NumPy .npy and .npz files as {dtype, shape, data}. Little-endian, C order.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';

// dtype: ONNX Runtime's name; the typed array its data lies in.
const DTYPES = {
  '<f4': ['float32', Float32Array],
  '<f8': ['float64', Float64Array],
  '<i4': ['int32', Int32Array],
  '<i8': ['int64', BigInt64Array],
  '|u1': ['uint8', Uint8Array],
  '|i1': ['int8', Int8Array],
  '|b1': ['bool', Uint8Array],
};

export function typedArrayOf(dtype) {
  const entry = Object.values(DTYPES).find(([name]) => name === dtype);
  if (!entry) throw new Error(`unsupported tensor type ${dtype}`);
  return entry[1];
}

export function decodeNpy(bytes) {
  if (bytes.length < 10 || bytes.toString('latin1', 0, 6) !== '\x93NUMPY') {
    throw new Error('not a .npy file');
  }
  const wide = bytes[6] >= 2;
  const begin = wide ? 12 : 10;
  const end = begin + (wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString('latin1', begin, end);
  const descr = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const dims = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (!DTYPES[descr] || dims === undefined) throw new Error(`unsupported .npy header ${header}`);
  if (/'fortran_order':\s*True/.test(header)) throw new Error('Fortran order is not supported');
  const shape = dims.split(',').filter((d) => d.trim()).map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  const [dtype, TypedArray] = DTYPES[descr];
  const size = count * TypedArray.BYTES_PER_ELEMENT;
  if (bytes.length < end + size) throw new Error('truncated .npy file');
  // A copy, because the data need not be aligned in the file.
  const data = new TypedArray(new Uint8Array(bytes.subarray(end, end + size)).buffer);
  return { dtype, shape, data };
}

export function encodeNpy({ dtype, shape, data }) {
  const descr = Object.keys(DTYPES).find((key) => DTYPES[key][0] === dtype);
  if (!descr) throw new Error(`unsupported tensor type ${dtype}`);
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + '\n';
  const prefix = Buffer.alloc(10);
  prefix.write('\x93NUMPY\x01\x00', 'latin1');
  prefix.writeUInt16LE(header.length, 8);
  const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([prefix, Buffer.from(header, 'latin1'), body]);
}

// Members of a zip by name, from its central directory.
function unzip(bytes) {
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error('not a zip file');
  const members = new Map();
  let at = bytes.readUInt32LE(end + 16);
  for (let i = bytes.readUInt16LE(end + 10); i > 0; --i) {
    if (bytes.readUInt32LE(at) !== 0x02014b50) throw new Error('damaged zip directory');
    const method = bytes.readUInt16LE(at + 10);
    const packed = bytes.readUInt32LE(at + 20);
    const nameLength = bytes.readUInt16LE(at + 28);
    const local = bytes.readUInt32LE(at + 42);
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    const begin = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const raw = bytes.subarray(begin, begin + packed);
    if (packed === 0xffffffff || (method !== 0 && method !== 8)) {
      throw new Error(`unsupported zip member ${name}`);
    }
    members.set(name, method === 8 ? inflateRawSync(raw) : raw);
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return members;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; ++k) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; ++i) crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function zip(members) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, body] of members) {
    const encoded = Buffer.from(name, 'utf8');
    // Shared by the local header (from byte 4) and the directory entry (from byte 6).
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);      // version needed
    common.writeUInt16LE(0x21, 8);    // 1980-01-01
    common.writeUInt32LE(crc32(body), 10);
    common.writeUInt32LE(body.length, 14);
    common.writeUInt32LE(body.length, 18);
    common.writeUInt16LE(encoded.length, 22);
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), common, encoded, body);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, tail, encoded);
    offset += 30 + encoded.length + body.length;
  }
  const central = Buffer.concat(directory);
  if (offset + central.length > 0xffffffff) throw new Error('more than 4 GiB in one .npz');
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.size, 8);
  end.writeUInt16LE(members.size, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

// Map of name to tensor; a .npy file is one tensor with the name ''.
export function readTensors(path) {
  const bytes = readFileSync(path);
  if (!path.endsWith('.npz')) return new Map([['', decodeNpy(bytes)]]);
  const tensors = new Map();
  for (const [name, body] of unzip(bytes)) tensors.set(name.replace(/\.npy$/, ''), decodeNpy(body));
  return tensors;
}

// A path that does not end in .npz takes exactly one tensor.
export function writeTensors(path, tensors) {
  let bytes;
  if (path.endsWith('.npz')) {
    bytes = zip(new Map([...tensors].map(([name, t]) => [`${name}.npy`, encodeNpy(t)])));
  } else {
    if (tensors.size !== 1) throw new Error(`${tensors.size} outputs need a .npz file`);
    bytes = encodeNpy([...tensors.values()][0]);
  }
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, path);
}
