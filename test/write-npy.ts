/** An array as NumPy saves it, in its format 1. */
export function npyBytes(dtype: string, shape: readonly number[], data: ArrayBufferView): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${dims}), }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64 - 10;
  const start = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header.padEnd(length - 1)}\n`, "latin1");
  start.writeUInt16LE(length, 8);
  return Buffer.concat([start, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}
