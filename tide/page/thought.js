// One thought: the loop over ticks around a model's three graphs.

import { Graph } from "./reader/graph.js";
import { scalar, tensor } from "./reader/tensors.js";
import { unpacked } from "./reader/weights.js";

export class Model {
  static async from({ about, graphs, constants }) {
    const tensors = await unpacked(constants);
    const made = Object.entries(graphs).map(([name, described]) => [name, new Graph(described, tensors)]);
    return new Model(about, Object.fromEntries(made));
  }

  constructor(about, graphs) {
    this.about = about;
    this.graphs = graphs;
    this.intervenes = graphs.tick.inputs.includes("inhibition");
    this.given = {};
  }

  // An input tensor, the same object as long as its numbers are the same: what depends on it is then not run again.
  #input(name, made) {
    const before = this.given[name];
    const same = before && before.data.length === made.data.length && before.data.every((x, i) => x === made.data[i]);
    if (!same) this.given[name] = made;
    return this.given[name];
  }

  // Think about `image` (Float32Array of channels x size x size) for `ticks`. `active` has a 1 for every neuron that
  // takes part and a 0 for every one that is silenced; `inhibition` is a factor on what inhibits excitatory neurons.
  think(image, { ticks, active, inhibition }) {
    const { channels, size, recorded } = this.about,
      began = performance.now();
    const values = { images: this.#input("images", tensor([1, channels, size, size], image)) };
    if (this.intervenes) {
      values.active = this.#input("active", tensor([active.length], active));
      values.inhibition = this.#input("inhibition", scalar(inhibition));
    }
    Object.assign(values, this.graphs.begin.run(values));
    const seen = Object.fromEntries([...recorded, "logits", "certainty"].map((name) => [name, []]));
    for (let tick = 0; tick < ticks; tick++) {
      Object.assign(values, this.graphs.tick.run(values));
      Object.assign(values, this.graphs.read.run(values));
      for (const name of Object.keys(values)) if (name.startsWith("next_")) values[name.slice(5)] = values[name];
      for (const name of Object.keys(seen)) seen[name].push(values[name].data);
    }
    return new Thought(this.about, seen, performance.now() - began);
  }
}

// What was seen, by name and tick, and what follows from it. Numbers are those of the graphs.
export class Thought {
  constructor(about, seen, milliseconds) {
    this.about = about;
    this.seen = seen;
    this.milliseconds = milliseconds;
    this.ticks = seen.logits.length;
    this.certainty = seen.certainty.map((value) => value[0]);
    this.probabilities = seen.logits.map(likelihoods);
    this.answers = this.probabilities.map((p) => p.indexOf(Math.max(...p)));
    this.best = this.certainty.indexOf(Math.max(...this.certainty));
    this.attention = seen.attention.map((weights) => meanOfHeads(weights, about.places));
  }

  has(name) {
    return name in this.seen;
  }

  // One number per tick.
  series(name) {
    return this.seen[name].map((value) => value[0]);
  }

  // The first tick (from 0) of at least this certainty; -1 where there is none.
  stop(threshold) {
    return this.certainty.findIndex((value) => value >= threshold);
  }
}

function likelihoods(logits) {
  const highest = Math.max(...logits),
    exponentials = Array.from(logits, (x) => Math.exp(x - highest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((x) => x / sum);
}

function meanOfHeads(weights, places) {
  const heads = weights.length / places;
  return Float32Array.from({ length: places }, (_, n) => {
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += weights[h * places + n];
    return sum / heads;
  });
}
