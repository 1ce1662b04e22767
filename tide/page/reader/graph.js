// A graph of operators that computes again only what depends on a changed input.

import { OPERATORS } from "./operators.js";
import "./elementwise.js";
import "./lstm.js";
import "./norms.js";
import "./products.js";
import "./reductions.js";
import "./shapes.js";

export class Graph {
  // `described`: {inputs, outputs, constants: {name: number of a tensor}, nodes: [[operator, inputs, outputs,
  // attributes]]}; `tensors`: the constants by number, shared with other graphs. Throws an error that names an unknown operator.
  constructor(described, tensors) {
    const unknown = described.nodes.map(([operator]) => operator).filter((name) => !(name in OPERATORS));
    if (unknown.length) throw new Error(`this page does not know the operator ${unknown[0]}; export the model as ONNX`);
    Object.assign(this, { inputs: described.inputs, outputs: described.outputs, nodes: described.nodes });
    this.values = new Map(Object.entries(described.constants).map(([name, number]) => [name, tensors[number]]));
  }

  // Run on tensors by name; returns the outputs by name. An input that is the same object as before is unchanged.
  run(given) {
    const { values } = this,
      changed = new Set();
    for (const name of this.inputs) {
      if (!given[name]) throw new Error(`input ${name} is missing`);
      if (values.get(name) !== given[name]) changed.add(name);
      values.set(name, given[name]);
    }
    for (const [operator, inputs, outputs, attributes] of this.nodes) {
      if (values.has(outputs.find((name) => name)) && !inputs.some((name) => changed.has(name))) continue;
      const made = OPERATORS[operator](
        inputs.map((name) => values.get(name)),
        attributes,
      );
      (Array.isArray(made) ? made : [made]).forEach((value, i) => {
        values.set(outputs[i], value);
        changed.add(outputs[i]);
      });
    }
    return Object.fromEntries(this.outputs.map((name) => [name, values.get(name)]));
  }
}
