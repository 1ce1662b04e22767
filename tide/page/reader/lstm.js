// The recurrent layer of the LSTM baseline.

import { OPERATORS } from "./operators.js";
import { tensor } from "./tensors.js";

// An LSTM over a sequence (steps, 1 sample, inputs); ONNX orders the gates input, output, forget, cell.
OPERATORS.LSTM = (
  [x, w, r, b, lengths, h0, c0, peepholes],
  { hidden_size: size, direction = "forward", activations },
) => {
  if (x.shape[1] !== 1 || direction !== "forward" || lengths || peepholes || activations) {
    throw new Error("the reader knows the plain LSTM of one sample only");
  }
  const steps = x.shape[0],
    inputs = x.shape[2],
    hidden = Float32Array.from(h0.data),
    cell = Float32Array.from(c0.data);
  const all = new Float32Array(steps * size),
    gates = new Float64Array(4 * size),
    sigmoid = (v) => 1 / (1 + Math.exp(-v));
  for (let step = 0; step < steps; step++) {
    for (let g = 0; g < 4 * size; g++) {
      let sum = b ? b.data[g] + b.data[4 * size + g] : 0;
      for (let k = 0; k < inputs; k++) sum += w.data[g * inputs + k] * x.data[step * inputs + k];
      for (let k = 0; k < size; k++) sum += r.data[g * size + k] * hidden[k];
      gates[g] = sum;
    }
    for (let n = 0; n < size; n++) {
      cell[n] = sigmoid(gates[2 * size + n]) * cell[n] + sigmoid(gates[n]) * Math.tanh(gates[3 * size + n]);
      hidden[n] = sigmoid(gates[size + n]) * Math.tanh(cell[n]);
    }
    all.set(hidden, step * size);
  }
  return [tensor([steps, 1, 1, size], all), tensor([1, 1, size], hidden), tensor([1, 1, size], cell)];
};
