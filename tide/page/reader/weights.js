// The tensors of a model, out of the text that the page holds.

import { count, tensor } from "./tensors.js";

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1,
    exponent = (bits >> 10) & 31,
    fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Two of 91 digits hold 13 bits, the highest first.
function bytesOf(text, length) {
  const digit = new Uint8Array(128),
    bytes = new Uint8Array(length);
  for (let c = 33, next = 0; c < 127; c++) if (!'"\\<'.includes(String.fromCharCode(c))) digit[c] = next++;
  for (let i = 0, at = 0, held = 0, bits = 0; at < length; i += 2) {
    held = (held << 13) | (digit[text.charCodeAt(i)] * 91 + digit[text.charCodeAt(i + 1)]);
    for (bits += 13; bits >= 8 && at < length; bits -= 8) bytes[at++] = held >> (bits - 8);
    held &= (1 << bits) - 1;
  }
  return bytes;
}

async function inflated(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Return the tensors listed as [kind, shape]. All first bytes of a tensor's numbers come first, then all second bytes:
// that is what lets them be packed. Kinds: "half", "float", "integer", "bool".
export async function unpacked({ listed, text, bytes: length }) {
  const bytes = await inflated(bytesOf(text, length));
  let at = 0;
  return listed.map(([kind, shape]) => {
    const length = count(shape),
      width = { half: 2, float: 4, integer: 4, bool: 1 }[kind];
    const own = new Uint8Array(length * width);
    for (let b = 0; b < width; b++) for (let i = 0; i < length; i++) own[i * width + b] = bytes[at++];
    if (kind === "half") return tensor(shape, Float32Array.from(new Uint16Array(own.buffer), half));
    const Kind = { float: Float32Array, integer: Int32Array, bool: Uint8Array }[kind];
    return tensor(shape, new Kind(own.buffer));
  });
}
